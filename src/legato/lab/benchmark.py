"""How fast a model is on this machine: one stream, a file, and as many streams at once as keep up.

`run` measures in a fresh process, so that the time to load and the peak of the memory are those of a program that does
nothing else.
"""

import itertools
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import numpy as np

from legato.audio.source import read_audio
from legato.engine import Engine, Step
from legato.engine.streams import EngineStream
from legato.errors import BusyError, LegatoError
from legato.lab.machine import peak_rss
from legato.recognizer import Recognizer, load
from legato.types import Samples

#: Streams that the search for the largest number tries at most.
MOST_STREAMS = 64
#: Milliseconds of audio that a measured live stream sends at a time.
_PIECE_MS = 20
_WARM_UP_CHUNKS = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """What to measure.

    Attributes:
        model: folder of the model.
        threads: threads of the encoder.
        chunk_ms: chunk size.
        seconds: seconds of audio for each figure.
        streams: numbers of streams to try; None searches for the largest that keeps up.
    """

    model: str
    threads: int
    chunk_ms: int
    seconds: float
    streams: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """So many live streams at once.

    Attributes:
        streams: their number.
        lag_ms_p50, lag_ms_p95: milliseconds from the last sample that a chunk needs to its result.
        batch: streams in a step, on average.
        keeps_up: the lag at p95 is within a chunk.
        peak_rss_mb: peak of the memory up to here.
    """

    streams: int
    lag_ms_p50: float
    lag_ms_p95: float
    batch: float
    keeps_up: bool
    peak_rss_mb: float | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Figures of one choice of threads and chunk size.

    Attributes:
        threads, chunk_ms: the choice.
        load_seconds: to open the model.
        first_chunk_seconds: from the same start to the end of the first chunk.
        chunk_ms_p50, chunk_ms_p95, chunk_ms_p99: milliseconds of work on one chunk of one stream.
        real_time_factor: seconds of work a second of live audio, one stream.
        file_real_time_factor: seconds of work a second of a file.
        peak_rss_mb: peak of the memory, one stream and a file; in 10**6 bytes.
        loads: what several streams at once came to.
        streams_in_real_time: the largest number of streams that was tried and kept up.
    """

    threads: int
    chunk_ms: int
    load_seconds: float
    first_chunk_seconds: float
    chunk_ms_p50: float
    chunk_ms_p95: float
    chunk_ms_p99: float
    real_time_factor: float
    file_real_time_factor: float
    peak_rss_mb: float | None
    loads: tuple[Load, ...]
    streams_in_real_time: int


def run(settings: Settings) -> Measurement:
    """Measure in a fresh process.

    Raises:
        LegatoError: what could not be measured and why.
    """
    command = [sys.executable, "-m", "legato.lab.benchmark", json.dumps(asdict(settings))]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode:
        said = child.stderr.strip().splitlines() or ["it said nothing"]
        raise LegatoError(said[-1] if child.returncode == 2 else f"The measurement broke off: {said[-1]}")
    fields: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return Measurement(**{**fields, "loads": tuple(Load(**entry) for entry in fields["loads"])})


def measure(settings: Settings) -> Measurement:
    """Measure in this process."""
    samples = sample_audio(settings.seconds)
    started = time.perf_counter()
    recognizer = load(settings.model, threads=settings.threads)
    loaded = time.perf_counter()
    chunks, first_chunk = _chunk_seconds(recognizer, samples, settings.chunk_ms)
    started_file = time.perf_counter()
    recognizer.transcribe(samples, chunk_ms=settings.chunk_ms)
    file_seconds = time.perf_counter() - started_file
    peak = _peak_mb()
    loads = tuple(_loads(recognizer, samples, settings))
    p50, p95, p99 = (round(1000 * float(np.percentile(chunks, percent)), 3) for percent in (50, 95, 99))
    return Measurement(
        threads=settings.threads,
        chunk_ms=settings.chunk_ms,
        load_seconds=round(loaded - started, 3),
        first_chunk_seconds=round(first_chunk - started, 3),
        chunk_ms_p50=p50,
        chunk_ms_p95=p95,
        chunk_ms_p99=p99,
        real_time_factor=round(float(np.mean(chunks)) * 1000 / settings.chunk_ms, 4),
        file_real_time_factor=round(file_seconds * recognizer.sample_rate / len(samples), 4),
        peak_rss_mb=peak,
        loads=loads,
        streams_in_real_time=max((load.streams for load in loads if load.keeps_up), default=0),
    )


def sample_audio(seconds: float) -> Samples:
    """The package's sample of speech, as often as needed: float32[n] at 16 kHz."""
    with resources.as_file(resources.files("legato") / "assets" / "samples" / "en.flac") as path:
        clip = read_audio(path)
    count = max(1, round(16000 * seconds))
    return np.tile(clip, -(-count // len(clip)))[:count]


def under_load(recognizer: Recognizer, samples: Samples, streams: int, chunk_ms: int) -> Load:
    """Send the samples through an engine as live audio, in so many streams at once.

    The streams begin at times spread over one chunk, as those of users would. It stops early when they fall far behind.
    """
    lags: list[float] = []
    rows: list[int] = []
    seen = [0.0] * streams
    limit = 2.0 + 3 * chunk_ms / 1000
    behind = False
    # The same uneven spread every time.
    starts = np.random.default_rng(streams).uniform(0, chunk_ms / 1000, streams)

    def note(step: Step) -> None:
        now = time.monotonic() - origin
        rows.append(step.rows)
        for number, stream in enumerate(live):
            done = stream.recognized_seconds
            if done > seen[number]:
                seen[number] = done
                # A chunk can be ready some milliseconds before its last frame is over, hence the rounding up.
                needed = recognizer.pipeline.samples_for(math.ceil(done / recognizer.bundle.frame_seconds - 1e-6))
                lags.append(now - starts[number] - needed / recognizer.sample_rate)

    with Engine(recognizer, max_streams=streams, on_step=note) as engine:
        origin = time.monotonic()
        live: list[EngineStream] = []
        live += [engine.stream(chunk_ms=chunk_ms) for _ in range(streams)]
        starts += time.monotonic() - origin
        try:
            for due, number, piece in _schedule(samples, starts.tolist(), recognizer.sample_rate):
                time.sleep(max(0.0, origin + due - time.monotonic()))
                live[number].accept(piece, timeout=0)
                if lags and lags[-1] > limit:
                    behind = True
                    break
        except BusyError:
            behind = True
        for stream in live:
            stream.close()
    # The first chunk of each stream meets memory that nobody has touched before.
    settled = lags[streams:] or lags or [float("inf")]
    p50, p95 = (float(np.percentile(settled, percent)) * 1000 for percent in (50, 95))
    return Load(
        streams=streams,
        lag_ms_p50=round(p50, 1),
        lag_ms_p95=round(p95, 1),
        batch=round(float(np.mean(rows or [0])), 2),
        keeps_up=not behind and p95 <= chunk_ms,
        peak_rss_mb=_peak_mb(),
    )


def largest(keeps_up: Callable[[int], bool], most: int) -> int:
    """Find the largest number that keeps up: doubles, then halves the gap until it is an eighth of the number."""
    good, bad, number = 0, most + 1, 1
    while bad - good > max(1, good // 8):
        if keeps_up(number):
            good = number
        else:
            bad = number
        number = min(2 * good, most) if bad > most else (good + bad) // 2
    return good


def _loads(recognizer: Recognizer, samples: Samples, settings: Settings) -> list[Load]:
    loads: list[Load] = []

    def keeps_up(streams: int) -> bool:
        loads.append(under_load(recognizer, samples, streams, settings.chunk_ms))
        return loads[-1].keeps_up

    if settings.streams is None:
        largest(keeps_up, MOST_STREAMS)
    else:
        for streams in settings.streams:
            keeps_up(streams)
    return sorted(loads, key=lambda load: load.streams)


def _schedule(samples: Samples, starts: Sequence[float], rate: int) -> list[tuple[float, int, Samples]]:
    """When which stream hears which piece, in order: a piece comes when its last sample was spoken."""
    size = rate * _PIECE_MS // 1000
    pieces = [samples[i : i + size] for i in range(0, len(samples), size)]
    entries = [
        (start + (count + 1) * size / rate, number, piece)
        for number, start in enumerate(starts)
        for count, piece in enumerate(pieces)
    ]
    return sorted(entries, key=lambda entry: entry[0])


def _chunk_seconds(recognizer: Recognizer, samples: Samples, chunk_ms: int) -> tuple[list[float], float]:
    """Seconds of work on each chunk of a stream, without the first few, and when the first one was done."""
    size = recognizer.sample_rate * chunk_ms // 1000
    times = []
    first = 0.0
    with recognizer.stream(chunk_ms=chunk_ms) as stream:
        for start in itertools.count(0, size):
            if start + size > len(samples):
                break
            before = time.perf_counter()
            stream.accept(samples[start : start + size])
            times.append(time.perf_counter() - before)
            first = first or time.perf_counter()
    if len(times) <= _WARM_UP_CHUNKS:
        raise LegatoError(
            f"{len(samples) / recognizer.sample_rate:g} s are too few for chunks of {chunk_ms} ms. Give --seconds more."
        )
    return times[_WARM_UP_CHUNKS:], first


def _peak_mb() -> float | None:
    peak = peak_rss()
    return None if peak is None else round(peak / 1e6, 1)


def _main() -> None:
    fields = json.loads(sys.argv[1])
    if fields["streams"] is not None:
        fields["streams"] = tuple(fields["streams"])
    try:
        print(json.dumps(asdict(measure(Settings(**fields)))))
    except LegatoError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    _main()
