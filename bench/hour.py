"""Time and memory of one long stream, early and late.

    python bench/hour.py --model FOLDER [--minutes 60] [--chunk-ms 320] [--threads 1] [--json FILE]

A clip of speech is repeated and sent in pieces of 100 ms, as fast as possible. Time per chunk and memory in minute 5
are compared with those of the last minute. In both minutes a second, young stream runs alongside: the ratio to its time
separates a trend from other load of the machine.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import legato
from legato.lab.benchmark import sample_audio
from legato.lab.machine import rss
from legato.types import Samples

PIECE = 1600
MINUTE = 60 * 16000


@dataclass(frozen=True)
class Minute:
    """The figures of one minute of the stream.

    Attributes:
        minute: index of the minute, from 0.
        chunk_ms: median computing time per chunk of the long stream, in milliseconds.
        young_chunk_ms: the same for a stream that started in this minute and runs alternately with the long one.
        rss_mb: resident memory, in 10**6 bytes.
        tokens: tokens of the long stream so far, or of its open segment.
    """

    minute: float
    chunk_ms: float
    young_chunk_ms: float
    rss_mb: float
    tokens: int


def step(stream: legato.Stream, piece: Samples, times: list[float]) -> list[legato.Event]:
    """Send a piece, and record the time if it completed a chunk."""
    before, done = time.perf_counter(), stream.state.audio.encoder.done
    events = stream.accept(piece)
    if stream.state.audio.encoder.done != done:
        times.append(time.perf_counter() - before)
    return events


def measure(
    long: legato.Stream,
    young: legato.Stream,
    pieces: Iterable[Samples],
    minute: float,
    receive: Callable[[list[legato.Event]], None] = lambda _: None,
) -> Minute:
    """Measure a span of the long stream with a young one alongside; `receive` gets the events of the long one."""
    old_times: list[float] = []
    young_times: list[float] = []
    for number, piece in enumerate(pieces):
        # The second one finds the piece in the CPU's cache, so the order alternates.
        if number % 2:
            receive(step(long, piece, old_times))
        step(young, piece, young_times)
        if not number % 2:
            receive(step(long, piece, old_times))
    return Minute(
        minute=minute,
        chunk_ms=1000 * statistics.median(old_times),
        young_chunk_ms=1000 * statistics.median(young_times),
        rss_mb=(rss() or 0) / 1e6,
        tokens=len(long.state.segment.tokens),
    )


def ratios_of(early: Minute, late: Minute) -> dict[str, float | None]:
    """Return the growth of time and memory of the long stream."""
    return {
        "chunk_time": late.chunk_ms / early.chunk_ms,
        "chunk_time_against_young_stream": (late.chunk_ms / late.young_chunk_ms)
        / (early.chunk_ms / early.young_chunk_ms),
        "rss": late.rss_mb / early.rss_mb if early.rss_mb else None,
    }


def print_minutes(minutes: Iterable[Minute], ratios: dict[str, float | None]) -> None:
    """Print the figures."""
    print(f"{'minute':>8} {'ms per chunk':>12} {'young stream':>14} {'RSS, MB':>10} {'tokens':>8}")
    for m in minutes:
        print(f"{m.minute + 1:8.0f} {m.chunk_ms:12.3f} {m.young_chunk_ms:14.3f} {m.rss_mb:10.1f} {m.tokens:8}")
    for name, ratio in ratios.items():
        print(f"late / early, {name.replace('_', ' ')}: " + ("?" if ratio is None else f"{ratio:.3f}"))


def piece_of(samples: Samples, start: int) -> Samples:
    """Return the piece at a sample of the repeated clip, whose length is a whole number of pieces."""
    offset = start % len(samples)
    return samples[offset : offset + PIECE]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Time and memory of a long stream, early and late.")
    parser.add_argument("--model", type=Path, help="folder of a model; default: that of legato.load")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--chunk-ms", type=int, default=320)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.minutes < 2:
        parser.error("--minutes must be at least 2")
    samples = sample_audio(19.2)
    recognizer = legato.load(arguments.model, threads=arguments.threads)
    first, last = min(5, arguments.minutes - 1) - 1, arguments.minutes - 1
    minutes = []
    stream = recognizer.stream(chunk_ms=arguments.chunk_ms)
    start = 0
    while start < arguments.minutes * MINUTE:
        if start in {first * MINUTE, last * MINUTE}:
            young = recognizer.stream(chunk_ms=arguments.chunk_ms)
            pieces = (piece_of(samples, at) for at in range(start, start + MINUTE, PIECE))
            minutes.append(measure(stream, young, pieces, start / MINUTE))
            start += MINUTE
        else:
            stream.accept(piece_of(samples, start))
            start += PIECE
    early, late = minutes
    ratios = ratios_of(early, late)
    figures = {
        "model": recognizer.bundle.name,
        "chunk_ms": arguments.chunk_ms,
        "threads": arguments.threads,
        "early": asdict(early),
        "late": asdict(late),
        "ratios": ratios,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    print_minutes(minutes, ratios)


if __name__ == "__main__":
    main()
