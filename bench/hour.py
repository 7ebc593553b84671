"""Does a stream get slower or larger the longer it lasts? One long stream, as fast as it goes.

    python bench/hour.py --model FOLDER [--minutes 60] [--chunk-ms 320] [--threads 1] [--json FILE]

A clip of speech is repeated and sent in pieces of 100 ms. Time per chunk and memory in use around minute 5 are compared
with those of the last minutes. To tell a trend from a machine that is busy with other things, a second, young stream
runs beside it in both places: the ratio of the ratios is given too.
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
from legato.runtime.features import Samples

PIECE = 1600
MINUTE = 60 * 16000


@dataclass(frozen=True)
class Place:
    """What was measured around one minute of the stream.

    Attributes:
        minute: the minute at which the measurement began.
        chunk_ms: median milliseconds of work on a chunk of the long stream.
        young_chunk_ms: the same for a stream that began here, its chunks in turn with those of the long one.
        rss_mb: memory in use, in 10**6 bytes.
        tokens: tokens of the long stream so far, or of its open segment.
    """

    minute: float
    chunk_ms: float
    young_chunk_ms: float
    rss_mb: float
    tokens: int


def step(stream: legato.Stream, piece: Samples, times: list[float]) -> list[legato.Event]:
    """Send a piece, and note the time if it completed a chunk."""
    before, done = time.perf_counter(), stream.state.audio.encoder.done
    events = stream.accept(piece)
    if stream.state.audio.encoder.done != done:
        times.append(time.perf_counter() - before)
    return events


def place(
    long: legato.Stream,
    young: legato.Stream,
    pieces: Iterable[Samples],
    minute: float,
    heard: Callable[[list[legato.Event]], None] = lambda _: None,
) -> Place:
    """Measure a stretch of the long stream, a young one beside it; `heard` gets the long one's events."""
    old_times: list[float] = []
    young_times: list[float] = []
    for number, piece in enumerate(pieces):
        # Who comes second finds the piece in the CPU's cache: they take turns.
        if number % 2:
            heard(step(long, piece, old_times))
        step(young, piece, young_times)
        if not number % 2:
            heard(step(long, piece, old_times))
    return Place(
        minute=minute,
        chunk_ms=1000 * statistics.median(old_times),
        young_chunk_ms=1000 * statistics.median(young_times),
        rss_mb=(rss() or 0) / 1e6,
        tokens=len(long.state.segment.tokens),
    )


def ratios_of(early: Place, late: Place) -> dict[str, float | None]:
    """How time and memory of the long stream grew."""
    return {
        "chunk_time": late.chunk_ms / early.chunk_ms,
        "chunk_time_against_young_stream": (late.chunk_ms / late.young_chunk_ms)
        / (early.chunk_ms / early.young_chunk_ms),
        "rss": late.rss_mb / early.rss_mb if early.rss_mb else None,
    }


def print_places(places: Iterable[Place], ratios: dict[str, float | None]) -> None:
    """Show what was measured."""
    print(f"{'minute':>8} {'ms a chunk':>12} {'young stream':>14} {'RSS, MB':>10} {'tokens':>8}")
    for p in places:
        print(f"{p.minute + 1:8.0f} {p.chunk_ms:12.3f} {p.young_chunk_ms:14.3f} {p.rss_mb:10.1f} {p.tokens:8}")
    for name, ratio in ratios.items():
        print(f"late / early, {name.replace('_', ' ')}: " + ("?" if ratio is None else f"{ratio:.3f}"))


def piece_of(samples: Samples, start: int) -> Samples:
    """The piece at a sample of the endlessly repeated clip, whose length is a whole number of pieces."""
    offset = start % len(samples)
    return samples[offset : offset + PIECE]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Time and memory of a long stream, early and late.")
    parser.add_argument("--model", type=Path, help="folder of a model; the best one at hand if not given")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--chunk-ms", type=int, default=320)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.minutes < 2:
        parser.error("--minutes must be 2 or more")
    samples = sample_audio(19.2)
    recognizer = legato.load(arguments.model, threads=arguments.threads)
    first, last = min(5, arguments.minutes - 1) - 1, arguments.minutes - 1
    places = []
    stream = recognizer.stream(chunk_ms=arguments.chunk_ms)
    start = 0
    while start < arguments.minutes * MINUTE:
        if start in {first * MINUTE, last * MINUTE}:
            young = recognizer.stream(chunk_ms=arguments.chunk_ms)
            pieces = (piece_of(samples, at) for at in range(start, start + MINUTE, PIECE))
            places.append(place(stream, young, pieces, start / MINUTE))
            start += MINUTE
        else:
            stream.accept(piece_of(samples, start))
            start += PIECE
    early, late = places
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
    print_places(places, ratios)


if __name__ == "__main__":
    main()
