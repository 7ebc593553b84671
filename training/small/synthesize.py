"""Speak the sentences with many synthesizers, and store features.

    python -m training.small.synthesize --data DATA --kind KIND --shards N [--languages en de ...]

Kinds: ``words`` (pieces of one to three words, for the first steps of a training from nothing), ``sentences`` (one
voice for each language), ``wide`` (sentences by many voices, a part of them in rooms and over lines), ``numbers``
(phrases of spoken numbers by all these voices), and ``held-out`` (one shard of held-out sentences by the voices
of ``sentences``, and their audio in ``held-out/`` with a manifest a language).
Shards that exist are left alone, so the command can be stopped and started again.
"""

import argparse
import multiprocessing
import random
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from training.common.audio import SAMPLE_RATE, Audio, trim
from training.numbers import words as number_words
from training.small import texts
from training.small.clips import ClipFolder
from training.small.languages import TAGS, plain, write
from training.small.lines import changed
from training.small.parts import excluded_texts
from training.small.shards import ShardWriter
from training.small.texts import Sentence
from training.small.voices import SPEAKERS, WIDE_SPEAKERS, AnyOf, Speak


class Guarded:
    """Runs a synthesizer in a separate process, because Pico aborts its process for a few texts."""

    def __init__(self, speak: Speak) -> None:
        self._speak = speak
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def __call__(self, text: str, language: str, rng: random.Random) -> tuple[Audio, str]:
        """Speak, or return no audio for a text that cannot be spoken."""
        try:
            return self._pool.submit(self._speak, text, language, random.Random(rng.random())).result()
        except BrokenProcessPool:
            print(f"cannot be spoken: {text}", flush=True)
            self._pool = self._start()
            return np.zeros(0, np.float32), ""

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


def pieces(sentences: list[Sentence], language: str, excluded: set[str], rng: random.Random) -> Iterator[Sentence]:
    """Yield pieces of one to three words without end; Japanese has no spaces, so its shortest clauses."""
    short = [sentence for sentence in sentences if len(sentence.text) <= 10]
    while True:
        if language == "ja":
            yield rng.choice(short)
            continue
        words = rng.choice(sentences).spoken.split()
        count = rng.choice([1, 1, 2, 2, 3])
        first = rng.randrange(max(1, len(words) - count + 1))
        spoken = " ".join(words[first : first + count])
        text = write(spoken, language)
        if text and plain(text) not in excluded and len(plain(text)) >= 3:
            yield Sentence(spoken, text)


def numbers(language: str, excluded: set[str], rng: random.Random, max_words: int) -> Iterator[Sentence]:
    """Yield phrases of spoken numbers without end; commas, where there are any, are pauses."""
    while True:
        items = number_words.random_phrase(language, rng, max_words)
        separator = ", " if rng.random() < 0.25 else " "
        text = write(separator.join(label for _, label in items), language)
        if text and plain(text) not in excluded:
            yield Sentence(number_words.spoken(items, separator), text)


def write_shard(
    path: Path,
    language: str,
    voice: Speak,
    sentences: list[Sentence],
    rng: random.Random,
    clips: ClipFolder | None = None,
    change: bool = False,
) -> None:
    """Speak and store the sentences, also as ``clips`` if given; ``change`` some of them."""
    writer, speak = ShardWriter(language), Guarded(voice)
    generator = np.random.default_rng(rng.getrandbits(64))
    for sentence in sentences:
        spoken, name_of_voice = speak(sentence.spoken, language, rng)
        if len(spoken) < SAMPLE_RATE // 10 or not np.abs(spoken).max() > 0:
            continue  # nothing was said
        clip = trim(spoken)
        clip = clip * np.float32(0.5 / np.abs(clip).max())
        stored = writer.add(changed(clip, generator) if change else clip, sentence.text, name_of_voice)
        if clips:
            clips.add(stored, sentence.text, f"synthesised: {name_of_voice}")
    speak.close()
    if clips:
        clips.write()
    writer.write(path)


def main() -> None:
    """Write the missing shards of one kind, one shard of each language in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--kind", choices=["words", "sentences", "wide", "numbers", "held-out"], required=True)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--languages", nargs="+", choices=sorted(TAGS), default=list(TAGS))
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())["synthesis"]
    folder = arguments.data / "texts"
    excluded = excluded_texts(arguments.data)
    for index in range(arguments.shards):
        for language in arguments.languages:
            path = arguments.data / "features" / f"{language}-{arguments.kind}-{index:02d}"
            if path.with_suffix(".json").exists():
                continue
            rng = random.Random(f"{settings['seed']} {language} {arguments.kind} {index}")
            if arguments.kind == "held-out":
                chosen = texts.read(folder / f"{language}.held-out.jsonl")[: settings["held_out"]]
                clips = ClipFolder(arguments.data / "held-out", language)
                write_shard(path, language, SPEAKERS[language], chosen, rng, clips)
                continue
            if arguments.kind == "numbers":
                if language in number_words.LANGUAGES:
                    phrases = numbers(language, excluded, rng, settings["max_numbers"])
                    chosen = [next(phrases) for _ in range(settings["sentences_per_shard"])]
                    voices = AnyOf([SPEAKERS[language], WIDE_SPEAKERS[language]])
                    write_shard(path, language, voices, chosen, rng, change=True)
                continue
            sentences = texts.read(folder / f"{language}.jsonl")
            if arguments.kind == "words":
                stream = pieces(sentences, language, excluded, rng)
                chosen = [next(stream) for _ in range(settings["words_per_shard"])]
            else:
                # Round and round: a small language is spoken again, with other speeds and pitches. The wide shards
                # start half way, with other sentences than the plain ones.
                count = settings["sentences_per_shard"]
                first = index * count + (len(sentences) // 2 if arguments.kind == "wide" else 0)
                chosen = [sentences[(first + offset) % len(sentences)] for offset in range(count)]
            wide = arguments.kind == "wide"
            voice = (WIDE_SPEAKERS if wide else SPEAKERS)[language]
            write_shard(path, language, voice, chosen, rng, change=wide)


if __name__ == "__main__":
    main()
