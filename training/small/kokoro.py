"""Speak sentences with Kokoro-82M: as many voices as one likes, near real speech, in all languages.

    python -m training.small.kokoro --data DATA --model kokoro.onnx --vocabulary vocab.json --voices FOLDER --shards N

Each sentence has a voice of its own: one of the files in FOLDER, of whatever language, or a random mean of two or
three. Writes shards of the kind ``wide``, numbered from 50 on. Slow (1 to 2 times real time on one core), so
shards are small; shards that exist are left alone.
"""

import argparse
import random
import tomllib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from training.common.audio import trim
from training.common.kokoro import Kokoro, Style, read_style
from training.small import texts
from training.small.languages import TAGS
from training.small.lines import changed
from training.small.phones import VOICES
from training.small.shards import ShardWriter

FIRST = 50
#: Voices of eSpeak NG that say how a language is pronounced.
ACCENTS = {**{language: [voice] for language, voice in VOICES.items()}, "en": ["en-us", "en-gb"], "ja": ["ja"]}


def blend(voices: Collection[str], rng: random.Random) -> dict[str, float]:
    """Return the shares of one of the voices, or of two or three."""
    names = rng.sample(sorted(voices), rng.choice([1, 2, 2, 3]))
    shares = [rng.uniform(0.2, 1.0) for _ in names]
    return {name: share / sum(shares) for name, share in zip(names, shares, strict=True)}


def a_voice(styles: dict[str, Style], rng: random.Random) -> tuple[str, Style]:
    """Return one of the voices, or a mean of two or three."""
    shares = blend(styles, rng)
    return "+".join(shares), np.asarray(sum(share * styles[name] for name, share in shares.items()), dtype=np.float32)


def a_speed(rng: random.Random) -> float:
    """Return the factor of the speed of an utterance; for half of them 1."""
    return rng.choice([1.0, rng.uniform(0.8, 1.25)])


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
    styles = {path.stem: read_style(path) for path in sorted(arguments.voices.glob("*.bin"))}
    for index in range(arguments.shards):
        for language in TAGS:
            path = arguments.data / "features" / f"{language}-wide-{FIRST + index}"
            if path.with_suffix(".json").exists():
                continue
            rng = random.Random(f"{settings['seed']} {language} kokoro {index}")
            generator = np.random.default_rng(rng.getrandbits(64))
            sentences = texts.read(arguments.data / "texts" / f"{language}.jsonl")
            writer = ShardWriter(language)
            for sentence in rng.sample(sentences, settings["kokoro_per_shard"]):
                name, style = a_voice(styles, rng)
                text = sentence.text if language == "ja" else sentence.spoken  # eSpeak NG reads kana
                phonemes = kokoro.phonemes(text, rng.choice(ACCENTS[language]))
                audio = trim(kokoro.speak(phonemes, style, a_speed(rng)))
                audio *= np.float32(0.5 / np.abs(audio).max())
                writer.add(changed(audio, generator), sentence.text, f"kokoro {name}")
            writer.write(path)


if __name__ == "__main__":
    main()
