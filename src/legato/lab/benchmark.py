"""The speed of a model on this machine: one stream, a file, and the largest number of streams that keep up.

`run` measures in a fresh process, so that load time and peak memory are those of a program that does nothing else.
"""

import itertools
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from legato.audio.sample import read_sample
from legato.errors import LegatoError
from legato.lab.live_load import Load, largest, under_load
from legato.lab.machine import OtherPrograms, peak_rss_mb
from legato.recognizer import Recognizer, load
from legato.types import Samples

#: Largest number of streams that the search tries.
MOST_STREAMS = 64
_WARM_UP_CHUNKS = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """What to measure.

    Attributes:
        model: folder of the model.
        threads: threads of the encoder.
        chunk_ms: chunk size.
        seconds: seconds of audio per figure.
        streams: numbers of streams to try; None searches for the largest that keeps up.
    """

    model: str
    threads: int
    chunk_ms: int
    seconds: float
    streams: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Figures for one number of threads and one chunk size.

    Attributes:
        threads, chunk_ms: what was measured.
        load_seconds: time to open the model.
        first_chunk_seconds: time from the same start to the end of the first chunk.
        chunk_ms_p50, chunk_ms_p95, chunk_ms_p99: milliseconds of computation per chunk of one stream.
        real_time_factor: seconds of computation per second of live audio, one stream.
        file_real_time_factor: seconds of computation per second of a file.
        peak_rss_mb: peak memory of one stream and a file, in 10**6 bytes.
        loads: figures of several streams at once.
        streams_in_real_time: the largest number of streams that was tried and kept up.
        others_cores: cores that other programs used meanwhile; None where the system does not report it.
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
    others_cores: float | None = None


def run(settings: Settings) -> Measurement:
    """Measure in a fresh process.

    Raises:
        LegatoError: the measurement is impossible or failed.
    """
    command = [sys.executable, "-m", "legato.lab.benchmark", json.dumps(asdict(settings))]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode:
        lines = child.stderr.strip().splitlines() or ["it printed nothing"]
        raise LegatoError(lines[-1] if child.returncode == 2 else f"The measurement failed: {lines[-1]}")
    fields: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return Measurement(**{**fields, "loads": tuple(Load(**entry) for entry in fields["loads"])})


def measure(settings: Settings) -> Measurement:
    """Measure in this process."""
    samples = sample_audio(settings.seconds)
    others = OtherPrograms()
    started = time.perf_counter()
    recognizer = load(settings.model, threads=settings.threads)
    loaded = time.perf_counter()
    chunks, first_chunk = _chunk_seconds(recognizer, samples, settings.chunk_ms)
    started_file = time.perf_counter()
    recognizer.transcribe(samples, chunk_ms=settings.chunk_ms)
    file_seconds = time.perf_counter() - started_file
    peak = peak_rss_mb()
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
        others_cores=others.cores(),
    )


def sample_audio(seconds: float) -> Samples:
    """Return the package's English sample, repeated up to a length: float32[n] at 16 kHz."""
    clip = read_sample()
    count = max(1, round(16000 * seconds))
    return np.tile(clip, -(-count // len(clip)))[:count]


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


def _chunk_seconds(recognizer: Recognizer, samples: Samples, chunk_ms: int) -> tuple[list[float], float]:
    """Return the seconds per chunk of a stream, without the first few, and the time at which the first one was done."""
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
            f"{len(samples) / recognizer.sample_rate:g} s are too few for chunks of {chunk_ms} ms. Increase --seconds."
        )
    return times[_WARM_UP_CHUNKS:], first


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
