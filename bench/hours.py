"""Words, times and memory of one stream over many hours of mixed sound.

    python -m bench.hours [--hours 8] [--model FOLDER] [--manifest M] [--language auto] [--chunk-ms 320] [--json FILE]

The sound is generated from a seed: blocks of clips with known texts, with at least a second of silence between them;
between the blocks silence, white or pink noise, babble (six clips at once) or chords. The last hour repeats the first.
The position of every clip is known, and its words are compared

- with its text: error rate per hour;
- with the words that the model recognizes in the clip alone: clips with other words per hour. Some differ, because the
  encoder still sees the preceding sound; the question is whether their number grows;
- in the last hour with the first one: words and times must be equal.

A word belongs to the clip during which it was emitted, or which ended at most 0.9 s before. Other words are strays,
counted by the kind of sound. Memory is recorded every minute. Time per chunk is measured as in `bench.hour`, with a
young stream alongside, in minute 5 of the first and of the last hour.
"""

import argparse
import json
import statistics
import time
import unicodedata
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

import legato
from bench.clips import MANIFEST, MODEL, Clip, load_clips
from bench.hour import MINUTE, PIECE, measure, print_minutes, ratios_of
from legato.audio import SAMPLE_RATE
from legato.lab.machine import rss
from legato.lab.scoring import Counts, count
from legato.types import Event, Samples, Segment, Word

HOUR = 60 * MINUTE
LATE_SECONDS = 0.9
MEASURED_MINUTE = 5
SOUNDS = ("silence", "white", "pink", "babble", "chords")


@dataclass(frozen=True)
class Part:
    """A span of the sound: a clip, or another kind of sound."""

    samples: Samples
    kind: str
    clip: Clip | None = None


@dataclass(frozen=True)
class ClipResult:
    """A clip in the stream: its recognized words, with their starts in seconds since the start of the hour."""

    clip: Clip
    words: tuple[tuple[str, float], ...]


@dataclass
class Hour:
    """The results of one hour.

    Attributes:
        clips: number of clips played.
        changed: number of clips whose words differ from those of the clip alone.
        counts, alone: errors against the texts, in the stream and for the clips alone.
        words: number of recognized words, including strays.
        cased, punctuated: number of words with a capital letter, and with punctuation at the end.
        strays: number of words outside clips, by kind of sound.
        late: seconds from the start of the speech to the start of the first word, for clips that did not change.
        kept: all clips of the first and of the last hour.
    """

    clips: int = 0
    changed: int = 0
    counts: Counts = field(default_factory=Counts)
    alone: Counts = field(default_factory=Counts)
    words: int = 0
    cased: int = 0
    punctuated: int = 0
    strays: Counter[str] = field(default_factory=Counter)
    late: list[float] = field(default_factory=list)
    kept: list[ClipResult] = field(default_factory=list)

    def figures(self) -> dict[str, object]:
        """Return the figures of the report."""
        late = sorted(self.late)
        return {
            "clips": self.clips,
            "changed": self.changed,
            "changed_percent": round(100 * self.changed / self.clips, 2),
            "wer": round(100 * (self.counts.rate or 0), 2),
            "wer_alone": round(100 * (self.alone.rate or 0), 2),
            **asdict(self.counts),
            "words": self.words,
            "cased": self.cased,
            "punctuated": self.punctuated,
            "strays": dict(self.strays),
            "first_word_late_p50": round(statistics.median(late), 3) if late else None,
            "first_word_late_p95": round(late[int(0.95 * len(late))], 3) if late else None,
        }


class Listener:
    """Assigns recognized words to the clips that they belong to."""

    def __init__(self, hours: int, alone: dict[str, tuple[str, ...]]) -> None:
        self.hours = [Hour() for _ in range(hours)]
        self._alone = alone
        self._parts: deque[tuple[float, float, str, Clip | None]] = deque()  # begin, end in seconds, kind, clip
        self._words: deque[Word] = deque()

    def play(self, part: Part, begin: int) -> None:
        """Record what is played from a sample on."""
        seconds = begin / SAMPLE_RATE, (begin + len(part.samples)) / SAMPLE_RATE
        self._parts.append((*seconds, part.kind, part.clip))

    def receive(self, events: Sequence[Event]) -> None:
        """Take the words of finished segments, and settle the parts to which no later segment can contribute."""
        for event in events:
            if isinstance(event, Segment):
                self._words += event.words
                self._settle(event.end)

    def finish(self) -> None:
        """Settle the remaining parts."""
        self._settle(float("inf"))

    def _settle(self, until: float) -> None:
        while self._parts:
            begin, end, kind, clip = self._parts[0]
            stop = end + LATE_SECONDS if clip else end
            if stop > until:
                return
            self._parts.popleft()
            mine = []
            while self._words and self._words[0].start < stop:
                mine.append(self._words.popleft())
            number = int(begin // 3600)
            hour = self.hours[number]
            hour.words += len(mine)
            hour.cased += sum(any(map(str.isupper, word.text)) for word in mine)
            hour.punctuated += sum(unicodedata.category(word.text[-1])[0] == "P" for word in mine)
            if clip is None:
                hour.strays[kind] += len(mine)
                continue
            self._compare(hour, begin, clip, mine)
            if number in {0, len(self.hours) - 1}:
                hour.kept.append(
                    ClipResult(clip, tuple((word.text, round(word.start - 3600 * number, 3)) for word in mine))
                )

    def _compare(self, hour: Hour, begin: float, clip: Clip, mine: Sequence[Word]) -> None:
        words = tuple(word.text for word in mine)
        hour.clips += 1
        hour.counts += count(clip.words, words)
        hour.alone += count(clip.words, self._alone[clip.name])
        if words != self._alone[clip.name]:
            hour.changed += 1
        elif mine:
            hour.late.append(mine[0].start - begin - clip.begin)


def sound_of(seed: int, clips: Sequence[Clip], sounds: Mapping[str, Samples]) -> Iterator[Part]:
    """Yield exactly one hour of mixed sound."""
    rng = np.random.default_rng(seed)
    left = HOUR

    def cut(part: Part) -> Part:
        nonlocal left
        left -= len(part.samples)
        return part

    while left > 4 * MINUTE:
        yield cut(Part(silence(rng.uniform(1.0, 1.8)), "silence"))
        until = left - rng.uniform(1, 2.5) * MINUTE
        while left > until:
            clip = clips[int(rng.integers(len(clips)))]
            yield cut(Part(clip.samples, "clip", clip))
            yield cut(Part(silence(rng.uniform(1.0, 1.8)), "silence"))
        kind = SOUNDS[int(rng.integers(len(SOUNDS)))]
        start = int(rng.integers(MINUTE))
        yield cut(Part(sounds[kind][start : start + round(rng.uniform(1 / 6, 1) * MINUTE)], kind))
    yield Part(np.zeros(left, np.float32), "silence")


def silence(seconds: float) -> Samples:
    """Return digital silence."""
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def make_sound(kind: str, clips: Sequence[Clip]) -> Samples:
    """Return two minutes of a sound without words to recognize, at -30 dB of full scale (except silence)."""
    rng = np.random.default_rng(SOUNDS.index(kind))
    length = 2 * MINUTE
    if kind == "silence":
        return np.zeros(length, np.float32)
    if kind == "white":
        samples = rng.standard_normal(length)
    elif kind == "pink":
        spectrum = np.fft.rfft(rng.standard_normal(length))
        samples = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1.0), length)
    elif kind == "babble":
        samples = np.zeros(length)
        for _ in range(6):
            voice = np.concatenate([clips[int(number)].samples for number in rng.permutation(len(clips))])
            samples += np.resize(np.roll(voice, int(rng.integers(len(voice)))), length)
    else:
        samples = np.concatenate([chord(rng) for _ in range(int(length / SAMPLE_RATE / 0.2))])[:length]
    scaled: Samples = (samples * 10**-1.5 / np.sqrt((samples**2).mean())).astype(np.float32)
    return scaled


def chord(rng: np.random.Generator) -> Samples:
    """Return a chord of plucked strings of 0.2 to 0.6 s."""
    times = np.arange(round(rng.uniform(0.2, 0.6) * SAMPLE_RATE)) / SAMPLE_RATE
    root = 110 * 2 ** (rng.integers(24) / 12)
    notes = [root * 2 ** (step / 12) for step in ((0, 4, 7), (0, 3, 7), (0, 5, 9))[int(rng.integers(3))]]
    waves = [np.sin(2 * np.pi * k * note * times) / k for note in notes for k in range(1, 6)]
    return np.asarray(np.sum(waves, axis=0) * np.exp(-4 * times), np.float32)


def pieces_of(hours: int, clips: Sequence[Clip], listener: Listener) -> Iterator[Samples]:
    """Yield the whole sound in pieces of 100 ms, and tell the listener what is played."""
    sounds = {kind: make_sound(kind, clips) for kind in SOUNDS}
    rest = np.zeros(0, np.float32)
    begin = 0
    for hour in range(hours):
        for part in sound_of(0 if hour == hours - 1 else hour, clips, sounds):
            listener.play(part, begin)
            begin += len(part.samples)
            for start in range(0, len(part.samples), PIECE):
                rest = np.concatenate([rest, part.samples[start : start + PIECE]])
                if len(rest) >= PIECE:
                    yield rest[:PIECE]
                    rest = rest[PIECE:]


def words_alone(recognizer: legato.Recognizer, clip: Clip, language: str, chunk_ms: int) -> tuple[str, ...]:
    """Return the words that the model recognizes in a clip with a second of silence on both sides."""
    samples = np.concatenate([silence(1), clip.samples, silence(1)])
    return tuple(word.text for word in recognizer.transcribe(samples, language=language, chunk_ms=chunk_ms).words)


def repeated(first: Sequence[ClipResult], last: Sequence[ClipResult]) -> dict[str, object]:
    """Compare the last hour with the first, whose sound is the same."""
    pairs = list(zip(first, last, strict=True))
    same = [(a, b) for a, b in pairs if [word for word, _ in a.words] == [word for word, _ in b.words]]
    moves = [abs(x - y) for a, b in same for (_, x), (_, y) in zip(a.words, b.words, strict=True)]
    return {
        "clips": len(pairs),
        "clips_with_other_words": len(pairs) - len(same),
        "words": len(moves),
        "words_at_another_time": sum(move > 1e-6 for move in moves),
        "moved_at_most_seconds": round(max(moves, default=0.0), 3),
    }


def slope(memory: Sequence[float]) -> float:
    """Return the growth of memory in MB per hour, from one value per minute."""
    return float(np.polyfit(np.arange(len(memory)) / 60, memory, 1)[0])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Hours of mixed sound through one stream.")
    parser.add_argument("--hours", type=int, default=8)
    parser.add_argument("--model", default=str(MODEL), help="name or folder of a model")
    parser.add_argument("--manifest", type=Path, default=MANIFEST)
    parser.add_argument("--language", default="auto", help="only clips of this language; auto: all")
    parser.add_argument("--chunk-ms", type=int, default=320)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.hours < 2:
        parser.error("--hours must be at least 2")
    recognizer = legato.load(arguments.model, threads=arguments.threads)
    clips = load_clips(arguments.manifest, arguments.language)
    alone = {clip.name: words_alone(recognizer, clip, arguments.language, arguments.chunk_ms) for clip in clips}

    def opened() -> legato.Stream:
        return recognizer.stream(
            language=arguments.language, chunk_ms=arguments.chunk_ms, endpoint=legato.Endpointing()
        )

    listener = Listener(arguments.hours, alone)
    stream = opened()
    pieces = pieces_of(arguments.hours, clips, listener)
    memory: list[float] = []
    minutes = []
    began, cpu = time.perf_counter(), time.process_time()
    for minute in range(60 * arguments.hours):
        here = (next(pieces) for _ in range(MINUTE // PIECE))
        if minute in {MEASURED_MINUTE - 1, 60 * (arguments.hours - 1) + MEASURED_MINUTE - 1}:
            minutes.append(measure(stream, opened(), here, minute, listener.receive))
        else:
            for piece in here:
                listener.receive(stream.accept(piece))
        memory.append((rss() or 0) / 1e6)
        if minute % 60 == 59:
            print(f"hour {minute // 60 + 1}: {memory[-1]:.1f} MB, {time.perf_counter() - began:.0f} s", flush=True)
    listener.receive(stream.finish())
    listener.finish()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    ratios = ratios_of(*minutes)
    figures = {
        "model": recognizer.bundle.name,
        "language": arguments.language,
        "chunk_ms": arguments.chunk_ms,
        "threads": arguments.threads,
        "hours": arguments.hours,
        "times_real_time": round(3600 * arguments.hours / took, 1),
        "cpu_seconds_per_hour": round(cpu / arguments.hours, 1),
        "by_hour": [hour.figures() for hour in listener.hours],
        "last_hour_against_first": repeated(listener.hours[0].kept, listener.hours[-1].kept),
        "rss_mb_by_hour": [round(value, 1) for value in memory[59::60]],
        "rss_mb_by_minute": [round(value, 2) for value in memory],
        "rss_growth_mb_per_hour_after_the_first": round(slope(memory[60:]), 3),
        "early": asdict(minutes[0]),
        "late": asdict(minutes[1]),
        "ratios": ratios,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    for name in ("by_hour", "last_hour_against_first", "rss_growth_mb_per_hour_after_the_first"):
        value = figures[name]
        for line in value if isinstance(value, list) else [f"{name.replace('_', ' ')}: {value}"]:
            print(line)
    print_minutes(minutes, ratios)


if __name__ == "__main__":
    main()
