"""Times of recognized words against the known bounds of clips.

    python -m bench.word_times [--model FOLDER] [--manifest M] [--chunk-ms 80,320,1120] [--rounds 5] [--json FILE]

The clips follow each other in random order, with 0.5 to 1.5 s of silence between them. The bounds of the speech in a
clip are judged by its energy. The time of a word is that of the frame that emitted its first token: a transducer emits
a word when it is certain of it, which is mostly near its end. For every chunk size:

- first word: seconds from the start of the clip's speech to the start of its first word;
- last word: seconds from the end of the clip's speech to the start of its last word (negative: before the end);
- inside: percentage of words that start within their clip's speech, or at most 160 ms before or after it.

First and last words are those of clips with the right number of words. A word belongs to the clip that started last.
"""

import argparse
import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import legato
from bench.clips import MANIFEST, MODEL, Clip, load_clips
from legato.audio import SAMPLE_RATE
from legato.types import Samples, Word

NEAR_SECONDS = 0.16


@dataclass(frozen=True)
class Spread:
    """Quantiles of a distribution, in seconds."""

    least: float
    p5: float
    p50: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return the quantiles of some values."""
        return cls(*(round(float(value), 3) for value in np.percentile(values, (0, 5, 50, 95, 100))))

    def __str__(self) -> str:
        return " ".join(f"{value:6.2f}" for value in asdict(self).values())


@dataclass(frozen=True)
class Times:
    """The figures of a chunk size; see the module."""

    chunk_ms: int
    words: int
    clips_with_right_number: int
    first: Spread
    last: Spread
    inside: float
    before: int
    after: int


def joined(clips: Sequence[Clip], rounds: int, seed: int) -> tuple[Samples, list[tuple[float, Clip]]]:
    """Return the clips in random order, repeated, and the start of each in seconds."""
    rng = np.random.default_rng(seed)
    parts: list[Samples] = []
    begins = []
    length = 0
    for _ in range(rounds):
        for number in rng.permutation(len(clips)):
            clip = clips[int(number)]
            gap = np.zeros(round(rng.uniform(0.5, 1.5) * SAMPLE_RATE), np.float32)
            begins.append(((length + len(gap)) / SAMPLE_RATE, clip))
            parts += [gap, clip.samples]
            length += len(gap) + len(clip.samples)
    return np.concatenate([*parts, np.zeros(2 * SAMPLE_RATE, np.float32)]), begins


def measure(
    recognizer: legato.Recognizer,
    samples: Samples,
    begins: Sequence[tuple[float, Clip]],
    language: str,
    chunk_ms: int,
) -> Times:
    """Recognize the clips, and compare the times of the words with the bounds of the clips."""
    words = recognizer.transcribe(samples, language=language, chunk_ms=chunk_ms).words
    found: list[list[Word]] = [[] for _ in begins]
    starts = [begin for begin, _ in begins]
    for word in words:
        found[max(0, bisect_right(starts, word.start) - 1)].append(word)
    first, last, off = [], [], []
    for (begin, clip), mine in zip(begins, found, strict=True):
        off += [max(begin + clip.begin - word.start, 0) or min(begin + clip.end - word.start, 0) for word in mine]
        if len(mine) == len(clip.words):
            first.append(mine[0].start - begin - clip.begin)
            last.append(mine[-1].start - begin - clip.end)
    near = [abs(seconds) <= NEAR_SECONDS for seconds in off]
    return Times(
        chunk_ms,
        len(words),
        len(first),
        Spread.of(first),
        Spread.of(last),
        round(100 * float(np.mean(near)), 2),
        before=sum(seconds > NEAR_SECONDS for seconds in off),
        after=sum(seconds < -NEAR_SECONDS for seconds in off),
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Times of words against the known bounds of clips.")
    parser.add_argument("--model", default=str(MODEL), help="name or folder of a model")
    parser.add_argument("--manifest", type=Path, default=MANIFEST)
    parser.add_argument("--language", default="auto", help="only clips of this language; auto: all")
    parser.add_argument("--chunk-ms", default="80,320,1120")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    recognizer = legato.load(arguments.model, threads=arguments.threads)
    clips = load_clips(arguments.manifest, arguments.language)
    samples, begins = joined(clips, arguments.rounds, seed=1)
    print(
        f"{len(begins)} clips, {sum(len(clip.words) for _, clip in begins)} words, {len(samples) / SAMPLE_RATE:.0f} s"
    )
    print(f"{'chunk, ms':>9} {'words':>6} {'inside, %':>9} {'before':>6} {'after':>6}   least, p5, p50, p95, most")
    found = []
    for chunk_ms in map(int, arguments.chunk_ms.split(",")):
        times = measure(recognizer, samples, begins, arguments.language, chunk_ms)
        found.append(asdict(times))
        print(
            f"{chunk_ms:9} {times.words:6} {times.inside:9.2f} {times.before:6} {times.after:6}   "
            f"first word: {times.first}   last word: {times.last}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
