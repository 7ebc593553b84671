"""Synthesize number phrases with Kokoro-82M: many voices, close to real speech.

    python -m training.numbers.kokoro --data DATA --model kokoro.onnx --vocabulary config.json --voices FOLDER

Phonemes come from espeak-ng. Slow (1 to 2 times real time on one core), so phrases are few; the
bank may be used before it is complete.
"""

import argparse
import random
import tomllib
from pathlib import Path

from training.common.audio import trim
from training.common.kokoro import LANGUAGE_OF, Kokoro, read_style
from training.numbers import words
from training.numbers.bank import BankWriter


def main() -> None:
    """Write the bank ``kokoro``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--voices", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())["synthesis"]
    rng = random.Random(f"{settings['seed']} kokoro")
    kokoro = Kokoro(arguments.model, arguments.vocabulary)
    styles = sorted(path for path in arguments.voices.glob("*.bin") if path.name[0] in LANGUAGE_OF)
    # Voice after voice in turn, so that a part of the bank already holds every voice.
    rounds = [style for _ in range(settings["kokoro_phrases"]) for style in rng.sample(styles, len(styles))]
    with BankWriter(arguments.data / "bank" / "kokoro") as writer:
        for index, style in enumerate(rounds):
            language, espeak_voice = LANGUAGE_OF[style.name[0]]
            items = words.random_phrase(language, rng, settings["max_words"])
            separator = rng.choice([", ", " "])
            phonemes = kokoro.phonemes(words.spoken(items, separator) + ".", espeak_voice)
            audio = kokoro.speak(phonemes, read_style(style), speed=rng.choice([1.0, rng.uniform(0.8, 1.25)]))
            writer.add(
                trim(audio),
                language=language,
                text=words.label(items),
                source="kokoro",
                voice=style.stem,
                isolated=False,
                dev=False,
            )
            if index % 50 == 0:
                print(f"{index} of {len(rounds)}", flush=True)


if __name__ == "__main__":
    main()
