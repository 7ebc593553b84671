"""Speak sentences with Kokoro-82M: many voices, near real speech, in all languages but German and Japanese.

    python -m training.small.kokoro --data DATA --model kokoro.onnx --vocabulary config.json --voices FOLDER --shards N

Writes shards of the kind ``wide``, numbered from 50 on. Slow (1 to 2 times real time on one core), so
shards are small; shards that exist are left alone.
"""

import argparse
import random
import tomllib
from pathlib import Path

import numpy as np

from training.common.audio import trim
from training.common.kokoro import LANGUAGE_OF, Kokoro
from training.small import texts
from training.small.languages import TAGS
from training.small.shards import ShardWriter

FIRST = 50


def main() -> None:
    """Write the missing shards, one of each language in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--voices", type=Path, required=True)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())["synthesis"]
    kokoro = Kokoro(arguments.model, arguments.vocabulary)
    styles = [path for path in sorted(arguments.voices.glob("*.bin")) if path.name[0] in LANGUAGE_OF]
    for index in range(arguments.shards):
        for language in TAGS:
            voices = [path for path in styles if LANGUAGE_OF[path.name[0]][0] == language]
            path = arguments.data / "features" / f"{language}-wide-{FIRST + index}"
            if not voices or path.with_suffix(".json").exists():
                continue
            rng = random.Random(f"{settings['seed']} {language} kokoro {index}")
            sentences = texts.read(arguments.data / "texts" / f"{language}.jsonl")
            writer = ShardWriter(language)
            for sentence in rng.sample(sentences, settings["kokoro_per_shard"]):
                style = rng.choice(voices)
                phonemes = kokoro.phonemes(sentence.spoken, LANGUAGE_OF[style.name[0]][1])
                audio = trim(kokoro.speak(phonemes, style, speed=rng.choice([1.0, rng.uniform(0.85, 1.2)])))
                writer.add(audio * np.float32(0.5 / np.abs(audio).max()), sentence.text, f"kokoro {style.stem}")
            writer.write(path)


if __name__ == "__main__":
    main()
