"""Real speech cut out of long recordings: LibriVox readings of *Les fleurs du mal*.

    python -m training.small.aligned --data DATA --librivox FOLDER --heard FOLDER [--edition FOLDER] [--audio FOLDER]

The folder is a clone of heitorchang/fleursdumal_librivox (public domain: recordings by LibriVox volunteers, text of
Project Gutenberg), ``--edition`` one of achtaitaipai/les-fleurs-du-mal, for the poems whose text is not there, and
``--heard`` what :mod:`training.small.hear` (Whisper) and :mod:`training.small.place` (the small model) wrote about the
recordings. Each poem is aligned to the heard words letter by letter and cut at the pauses between its clauses to
utterances of 1.5 to 9 s. What is said before and after the poem is left out. An utterance is dropped if more than a
quarter of its letters were heard otherwise (by Whisper), or if its speed cannot be true.

Writes ``features/fr-real-10`` (training), ``fr-real-dev-10`` (sentences to watch) and, of the readers of
``UNHEARD_READERS``, ``fr-unheard-10``; the audio of each goes to ``<audio>/<shard>`` as FLAC with a manifest.
"""

import argparse
import json
import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numba
import numpy as np
import numpy.typing as npt
import soxr

from training.common.audio import SAMPLE_RATE, Audio, trim
from training.small.clips import ClipFolder
from training.small.languages import held_out, letters, plain, write
from training.small.parts import excluded_texts
from training.small.scoring import letter_errors
from training.small.shards import ShardWriter
from training.small.verse import Spelling, clauses, poem, titles

#: Readers who are only tested with.
UNHEARD_READERS = ("Frédéric Surget", "Irene Alvarez Domenech")
SECONDS = (1.5, 9.0)
#: Share of the letters that may be heard otherwise.
MOST_ERRORS = 0.25
#: Letters per second.
SPEED = (5.0, 20.0)
#: Seconds: the shortest pause to cut at, and how far it may be from where the clause ends by the heard words.
PAUSE, NEAR, FAR = 0.12, 0.3, 0.6
_BLOCK = SAMPLE_RATE // 100

Span = tuple[float, float]
Word = tuple[float, float, str]


@dataclass(frozen=True)
class Utterance:
    """A part of a recording, in seconds, and what is said in it."""

    start: float
    end: float
    text: str
    errors: float


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _match(text: npt.NDArray[np.int32], heard: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Return for each letter of the text the heard letter at its place, or -1.

    The fewest substitutions, omissions and insertions, the heard letters before and after the text being free.
    """
    rows, columns = len(text) + 1, len(heard) + 1
    back = np.zeros((rows, columns), np.int8)
    above = np.zeros(columns, np.int64)
    for row in range(1, rows):
        current = np.empty(columns, np.int64)
        current[0] = row
        back[row, 0] = 1
        for column in range(1, columns):
            best, choice = above[column - 1] + 2 * (text[row - 1] != heard[column - 1]), 0
            if above[column] + 1 < best:
                best, choice = above[column] + 1, 1
            if current[column - 1] + 1 < best:
                best, choice = current[column - 1] + 1, 2
            current[column] = best
            back[row, column] = choice
        above = current
    place = np.full(rows - 1, -1, np.int64)
    row, column = rows - 1, int(np.argmin(above))
    while row > 0:
        choice = back[row, column]
        if choice == 0:
            row, column = row - 1, column - 1
            if text[row] == heard[column]:
                place[row] = column
        elif choice == 1:
            row -= 1
        else:
            column -= 1
    return place


def _codes(text: Sequence[str]) -> npt.NDArray[np.int32]:
    """Return the letters as numbers, without accents."""
    return np.array([ord(unicodedata.normalize("NFD", letter)[0]) for letter in text], np.int32)


def pauses(audio: Audio) -> list[Span]:
    """Return the pauses of a recording in seconds: blocks of 10 ms nearer to the noise than to the speech."""
    count = len(audio) // _BLOCK
    power = (audio[: count * _BLOCK].reshape(count, _BLOCK) ** 2).mean(axis=1) + 1e-10
    level = np.convolve(10 * np.log10(power), np.ones(3) / 3, mode="same")
    noise, speech = np.percentile(level, [8, 85])
    quiet = np.concatenate([[False], level < noise + 0.55 * (speech - noise), [False]])
    edges = np.flatnonzero(np.diff(quiet.astype(np.int8)))
    found = [(float(first) / 100, float(last) / 100) for first, last in edges.reshape(-1, 2)]
    return [span for span in found if span[1] - span[0] >= PAUSE]


def cut(ends: float | None, starts: float | None, quiet: Sequence[Span]) -> Span | None:
    """Return when the clause before ends and when the next starts: the edges of a pause near the times given.

    None if there is no pause. If there is other speech between them (the number of a part), or one of them is None
    (the first and last clause), the edges may be of two pauses.
    """
    after = [span for span in quiet if ends is not None and ends - NEAR < span[1] and span[0] < ends + FAR]
    before = [span for span in quiet if starts is not None and starts - FAR < span[1] and span[0] < starts + NEAR]
    if ends is None or starts is None:
        return before[-1] if before else after[0] if after else None
    if starts - ends > 2 * FAR:
        return (after[0][0], before[-1][1]) if after and before else None
    between = [span for span in quiet if span[1] > ends - NEAR and span[0] < max(starts, ends) + NEAR]
    return max(between, key=lambda span: span[1] - span[0], default=None)


@dataclass(frozen=True)
class Clause:
    """A clause, its letters, and those of the heard letters that are its first and last; None if it was not heard."""

    text: str
    letters: list[str]
    heard: tuple[int, int] | None


def _locate(texts: Sequence[str], heard: Sequence[str]) -> list[Clause]:
    spoken = [letters(text) for text in texts]
    place = _match(_codes([letter for part in spoken for letter in part]), _codes(heard))
    found: list[Clause] = []
    position = 0
    for text, part in zip(texts, spoken, strict=True):
        at = place[position : position + len(part)]
        position += len(part)
        at = at[at >= 0]
        known = len(at) >= 0.5 * len(part)
        found.append(Clause(text, part, (int(at[0]), int(at[-1])) if known else None))
    return found


def utterances(
    texts: Sequence[str], words: Iterable[Word], quiet: Sequence[Span], rng: random.Random
) -> Iterator[Utterance]:
    """Yield the utterances into which the clauses of a text are cut, with the share of letters heard otherwise."""
    heard: list[Word] = []  # letters
    for start, end, word in words:
        found = letters(word)
        step = (end - start) / max(1, len(found))
        heard += [(start + i * step, start + (i + 1) * step, letter) for i, letter in enumerate(found)]
    parts = _locate(texts, [letter for *_, letter in heard])
    ends = [None, *(heard[part.heard[1]][1] if part.heard else None for part in parts)]
    starts = [*(heard[part.heard[0]][0] if part.heard else None for part in parts), None]
    cuts = [cut(before, after, quiet) for before, after in zip(ends, starts, strict=True)]
    first = 0
    while first < len(parts):
        opening, wanted = cuts[first], rng.uniform(*SECONDS)
        best: tuple[float, int] | None = None
        for last in range(first, len(parts)):
            closing = cuts[last + 1]
            if opening is None or parts[last].heard is None:
                break
            seconds = closing[0] - opening[1] if closing else 0.0
            if SECONDS[0] <= seconds <= SECONDS[1]:
                distance = abs(seconds - wanted) + (0.0 if parts[last].text[-1] in ".!?" else 0.7)
                best = min(best or (distance, last), (distance, last))
        closing = cuts[best[1] + 1] if best else None
        if best is None or opening is None or closing is None:
            first += 1
            continue
        chosen = parts[first : best[1] + 1]
        said = "".join(letter for part in chosen for letter in part.letters)
        inside = [letter for start, end, letter in heard if opening[1] <= (start + end) / 2 <= closing[0]]
        errors = letter_errors(said, "".join(inside)).wrong / len(said)
        yield Utterance(opening[1], closing[0], " ".join(part.text for part in chosen), errors)
        first = best[1] + 1


def read_audio(path: Path) -> Audio:
    """Return a recording at 16 kHz, mono."""
    with av.open(path) as source:
        rate = source.streams.audio[0].rate
        audio = np.concatenate([frame.to_ndarray() for frame in source.decode(audio=0)], axis=1).mean(axis=0)
    return np.asarray(soxr.resample(audio.astype(np.float32), rate, SAMPLE_RATE), dtype=np.float32)


def readers(index: Path) -> list[tuple[str, str]]:
    """Return the file name and the reader of each recording from LibriVox's page of the book."""
    rows = index.read_text(encoding="utf-8").split('class="chapter-name"')[1:]
    found = [" and ".join(re.findall(r'/reader/\d+">([^<]+)<', row.split("</tr>")[0])) for row in rows]
    return [(f"fleursdumal_{number:03d}_baudelaire_64kb", reader) for number, reader in enumerate(found)]


def main() -> None:
    """Write the shards and the audio."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("data", "librivox", "heard"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--edition", type=Path)
    parser.add_argument("--audio", type=Path)
    arguments = parser.parse_args()
    spelling = Spelling.read(arguments.data / "texts" / "fr.jsonl")
    excluded = excluded_texts(arguments.data)
    audio_folder = arguments.audio or arguments.data / "real-audio"
    writers: dict[str, tuple[ShardWriter, ClipFolder]] = {}
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    index = arguments.librivox / "LibriVox_index.html"
    for number, ((name, reader), title) in enumerate(zip(readers(index), titles(index), strict=True)):
        heard = arguments.heard / f"{name}.json"
        texts = clauses(poem(arguments.librivox, arguments.edition, number, title), spelling)
        if not texts or not heard.exists():
            continue
        recording = read_audio(arguments.librivox / "audio" / f"{name}.mp3")
        words = json.loads(heard.read_text(encoding="utf-8"))
        for found in utterances(texts, words, pauses(recording), random.Random(number)):
            text = write(found.text, "fr")
            speed = len(letters(found.text)) / (found.end - found.start)
            right = found.errors <= MOST_ERRORS and SPEED[0] < speed < SPEED[1]
            if text is None or plain(text) in excluded or not right:
                seconds["dropped", reader] += found.end - found.start
                continue
            part = "unheard" if reader in UNHEARD_READERS else "real-dev" if held_out(text, one_of=40) else "real"
            shard = f"fr-{part}-10"
            if shard not in writers:
                writers[shard] = ShardWriter("fr"), ClipFolder(audio_folder / shard, "fr")
            writer, clips = writers[shard]
            samples = recording[int((found.start - 0.05) * SAMPLE_RATE) : int((found.end + 0.1) * SAMPLE_RATE)]
            samples = trim(samples * np.float32(0.5 / (np.abs(samples).max() + 1e-6)), threshold_db=-45.0)
            stored = writer.add(samples, text, f"LibriVox {reader}")
            clips.add(stored, text, f"{name}, LibriVox, {reader} (public domain)")
            seconds[part, reader] += len(samples) / SAMPLE_RATE
    for shard, (writer, clips) in writers.items():
        clips.write()
        writer.write(arguments.data / "features" / shard)
    for (part, reader), total in sorted(seconds.items()):
        print(f"{part}, {reader}: {total / 60:.1f} min")


if __name__ == "__main__":
    main()
