"""Prepare sentences for Kokoro-82M on a machine without eSpeak NG: :mod:`training.small.kokoro_gpu` speaks them.

    python -m training.small.kokoro_jobs --data DATA --voices FOLDER --vocabulary vocab.json --count N --output FILE

Writes a JSON object a line (gzip), in random order, and beside the file ``voices.npy`` (float16 [voices, lengths,
256]); the first line names the voices. A tenth of the sentences are phrases of spoken numbers.
"""

import argparse
import gzip
import json
import random
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from training.common.kokoro import Kokoro, espeak, read_style, token_ids
from training.numbers import words as number_words
from training.small import texts
from training.small.kokoro import ACCENTS, a_speed, blend
from training.small.languages import plain
from training.small.parts import excluded_texts
from training.small.phones import phones
from training.small.synthesize import numbers
from training.small.texts import Sentence

#: Punctuation within a text.
_CLAUSES = re.compile(r"[.?!;:…।。？！—–\-]\W*\w")
#: Sentences in a hundred.
SHARES = {"en": 20, "de": 16, "fr": 20, "es": 14, "it": 14, "hi": 8, "ja": 8}


@cache
def _library(voice: str) -> Any:
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    wrapper = EspeakWrapper()
    wrapper.set_voice(voice)
    return wrapper


def quick_espeak(text: str, voice: str) -> str:
    """Return what the program ``espeak-ng`` says, from its library where that is sure to be the same.

    The program makes the last stress of a clause a main stress if it has none; the library does not.
    """
    spoken = " ".join(_library(voice).text_to_phonemes(text).replace("_", "").split())
    same = ("ˈ" in spoken or "ˌ" not in spoken) and not _CLAUSES.search(text)
    return spoken if same else espeak(text, voice)


def choose(data: Path, language: str, count: int, rng: random.Random, max_numbers: int) -> list[Sentence]:
    """Return sentences to train on, each once while there are enough, and phrases of numbers."""
    sentences = texts.read(data / "texts" / f"{language}.jsonl")
    excluded = excluded_texts(data)
    phrases = count // 10 if language in number_words.LANGUAGES else 0
    chosen = rng.sample(sentences, min(count - phrases, len(sentences)))
    chosen += rng.choices(sentences, k=count - phrases - len(chosen))
    spoken_numbers = numbers(language, excluded, rng, max_numbers)
    return chosen + [next(spoken_numbers) for _ in range(phrases)]


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "voices", "vocabulary", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=70)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())["synthesis"]
    vocabulary = json.loads(arguments.vocabulary.read_text())["vocab"]
    styles = {path.stem: read_style(path) for path in sorted(arguments.voices.glob("*.bin"))}
    names = list(styles)
    lengths = len(styles[names[0]])
    jobs: list[dict[str, Any]] = []
    for language, share in SHARES.items():
        rng = random.Random(f"{arguments.seed} {language} jobs")
        count = arguments.count * share // 100
        sentences = choose(arguments.data, language, count, rng, settings["max_numbers"])
        targets = phones([plain(sentence.text) for sentence in sentences], language)
        for sentence, target in zip(sentences, targets, strict=True):
            text = sentence.text if language == "ja" else sentence.spoken  # eSpeak NG reads kana
            phonemes = Kokoro.phonemes(text, rng.choice(ACCENTS[language]), quick_espeak)
            voice = {names.index(name): round(part, 3) for name, part in blend(styles, rng).items()}
            jobs.append(
                {
                    "language": language,
                    "text": sentence.text,
                    "phones": "|".join(target),
                    "ids": token_ids(phonemes, vocabulary, lengths),
                    "voice": voice,
                    "speed": round(a_speed(rng), 3),
                }
            )
        print(f"{language}: {count} sentences", flush=True)
    random.Random(arguments.seed).shuffle(jobs)
    used = max(len(job["ids"]) for job in jobs)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    np.save(
        arguments.output.with_name("voices.npy"),
        np.stack([styles[name][:used, 0] for name in names]).astype(np.float16),
    )
    with gzip.open(arguments.output, "wt", encoding="utf-8") as file:
        for entry in [{"voices": names}, *jobs]:
            file.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
