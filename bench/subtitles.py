"""How subtitles keep to the rules of Netflix's and BBC's public guides, on twenty minutes of speech.

    python -m bench.subtitles [--model embedded] [--manifest M] [--minutes 20] [--style columns=37] [--keep FOLDER]

Sentences of the manifest follow each other in random order. The pauses between them are those of fluent speech: most
are 0.2 to 0.7 s long, every fifth is 1 to 3 s. The recognized transcript is laid out as SRT and the file is read back:

- long lines: lines of more than 42 columns; three lines: cues of more than two lines;
- fast, very fast: cues of more than 17 and of more than 20 characters per second;
- brief: cues of less than 5/6 s; long: of more than 7 s; flashes: gaps of less than 0.5 s between cues, not closed;
- good ends: cues that end at a clause border or in a gap of at least 0.24 s between words, or at the end of a clip;
- uneven: mean difference between two lines, in columns; words alone: second lines of a single word;
- late: cues that appear after the first sound of the clip that they begin; by how much, median, in seconds;
- segments of 3 to 10 s, and those of more than 10 s.
"""

import argparse
import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

import numpy as np

import legato
from bench.clips import Clip, load_clips
from legato.audio import SAMPLE_RATE
from legato.text.formats import writer_of_format
from legato.text.sentences import CLAUSE_ENDS, SENTENCE_ENDS
from legato.text.units import columns
from legato.types import Samples, Transcript

_TIME = re.compile(r"(\d+):(\d+):(\d+),(\d+)")
_GAP = 0.24


@dataclass(frozen=True)
class Shown:
    """A cue that was read back: seconds and lines."""

    start: float
    end: float
    lines: list[str]

    @property
    def speed(self) -> float:
        """Characters per second."""
        return sum(map(columns, self.lines)) / (self.end - self.start)


def read_srt(text: str) -> list[Shown]:
    """Read SubRip."""
    cues = []
    for block in filter(None, text.strip().split("\n\n")):
        _, times, *lines = block.split("\n")
        start, end = (int(h) * 3600 + int(m) * 60 + int(s) + int(ms) / 1000 for h, m, s, ms in _TIME.findall(times))
        cues.append(Shown(start, end, lines))
    return cues


def joined(clips: Sequence[Clip], seconds: float, seed: int, longest: float = 3) -> tuple[Samples, list[float]]:
    """Return clips in random order with pauses of `longest` seconds at most, and where the speech of each begins."""
    rng = np.random.default_rng(seed)
    parts: list[Samples] = []
    begins: list[float] = []
    length = 0
    while length < seconds * SAMPLE_RATE:
        for number in rng.permutation(len(clips)):
            clip = clips[int(number)]
            gap = rng.uniform(1, 3) if rng.random() < 0.2 else rng.uniform(0.2, 0.7)
            silence = np.zeros(round(min(gap, longest) * SAMPLE_RATE), np.float32)
            begins.append((length + len(silence)) / SAMPLE_RATE + clip.begin)
            parts += [silence, clip.samples]
            length += len(silence) + len(clip.samples)
    return np.concatenate(parts)[: round(seconds * SAMPLE_RATE)], begins


def figures(transcript: Transcript, text: str, begins: Sequence[float]) -> dict[str, float]:
    """Return the figures of the module's description; shares in percent."""
    cues = read_srt(text)
    lines = [line for cue in cues for line in cue.lines]
    gaps = [following.start - cue.end for cue, following in pairwise(cues)]
    two = [[columns(line) for line in cue.lines] for cue in cues if len(cue.lines) == 2]
    words = transcript.words
    position, good, late = 0, 0, []
    for cue in cues:
        first, before = words[position], words[position - 1] if position else None
        position += sum(len(line.split()) for line in cue.lines)
        if position == len(words):
            good += 1
        else:
            last, following = words[position - 1], words[position]
            clear = last.text.endswith((*SENTENCE_ENDS, *CLAUSE_ENDS)) or following.start - last.end >= _GAP
            good += clear or bisect_right(begins, following.start) > bisect_right(begins, last.start)
        clip = bisect_right(begins, first.start) - 1
        if clip >= 0 and (before is None or before.start < begins[clip]):  # the clip's first word
            late.append(cue.start - begins[clip])
    lengths = [segment.end - segment.start for segment in transcript.segments]

    def share(count: float, total: int) -> float:
        return round(100 * count / max(1, total), 1)

    return {
        "cues": len(cues),
        "long lines": share(sum(columns(line) > 42 for line in lines), len(lines)),
        "three lines": share(sum(len(cue.lines) > 2 for cue in cues), len(cues)),
        "fast": share(sum(cue.speed > 17 for cue in cues), len(cues)),
        "very fast": share(sum(cue.speed > 20 for cue in cues), len(cues)),
        "brief": share(sum(cue.end - cue.start < 5 / 6 for cue in cues), len(cues)),
        "long": share(sum(cue.end - cue.start > 7 for cue in cues), len(cues)),
        "flashes": share(sum(0 < gap < 0.5 for gap in gaps), len(gaps)),
        "good ends": share(good, len(cues)),
        "uneven": round(mean(abs(a - b) for a, b in two), 1) if two else 0,
        "words alone": share(sum(" " not in cue.lines[-1] for cue in cues if len(cue.lines) == 2), len(two)),
        "late": share(sum(each > 0 for each in late), len(late)),
        "late by": round(median(late), 2) if late else 0,
        "segments": len(lengths),
        "segments of 3 to 10 s": share(sum(3 <= each <= 10 for each in lengths), len(lengths)),
        "segments of more than 10 s": share(sum(each > 10 for each in lengths), len(lengths)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--style", default="")
    parser.add_argument("--keep", type=Path, help="folder for the subtitles and the transcript")
    given = parser.parse_args()
    clips = [clip for clip in load_clips(given.manifest) if "numbers" not in clip.name]
    samples, begins = joined(clips, given.minutes * 60, seed=1)
    transcript = legato.load(given.model, threads=1).transcribe(samples)
    text = writer_of_format(f"srt:{given.style}")(transcript)
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        for kind in ("srt", "json", "txt"):
            (given.keep / f"speech.{kind}").write_text(writer_of_format(kind)(transcript), "utf-8")
    print(json.dumps(figures(transcript, text, begins), indent=1))


if __name__ == "__main__":
    main()
