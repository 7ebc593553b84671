"""Several live streams at once through an engine: their lag, and the largest number that keeps up."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from legato.engine import Engine, Step
from legato.engine.streams import EngineStream
from legato.errors import BusyError
from legato.lab.machine import peak_rss_mb
from legato.recognizer import Recognizer
from legato.types import Samples

#: Milliseconds of audio that a live stream sends at a time.
_PIECE_MS = 20


@dataclass(frozen=True, slots=True)
class Load:
    """Figures of several live streams at once.

    Attributes:
        streams: number of streams.
        lag_ms_p50, lag_ms_p95: milliseconds from the last sample that a chunk needs to its result.
        batch: mean number of streams per step.
        keeps_up: whether the 95th percentile of the lag is at most one chunk.
        peak_rss_mb: peak memory so far, in 10**6 bytes.
    """

    streams: int
    lag_ms_p50: float
    lag_ms_p95: float
    batch: float
    keeps_up: bool
    peak_rss_mb: float | None


def under_load(recognizer: Recognizer, samples: Samples, streams: int, chunk_ms: int) -> Load:
    """Send the samples through an engine as live audio, in several streams at once.

    The streams start at times spread over one chunk, as those of users would. The measurement ends early if the streams
    are far too late.
    """
    lags: list[float] = []
    rows: list[int] = []
    done_before = [0.0] * streams
    limit = 2.0 + 3 * chunk_ms / 1000
    late = False
    # The same uneven spread every time.
    starts = np.random.default_rng(streams).uniform(0, chunk_ms / 1000, streams)

    def note(step: Step) -> None:
        now = time.monotonic() - origin
        rows.append(step.rows)
        for number, stream in enumerate(live):
            done = stream.recognized_seconds
            if done > done_before[number]:
                done_before[number] = done
                # A chunk can be ready a few milliseconds before its last frame ends, hence the rounding up.
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
                    late = True
                    break
        except BusyError:
            late = True
        for stream in live:
            stream.close()
    # The first chunk of each stream uses memory that was not touched before.
    settled = lags[streams:] or lags or [float("inf")]
    p50, p95 = (float(np.percentile(settled, percent)) * 1000 for percent in (50, 95))
    return Load(
        streams=streams,
        lag_ms_p50=round(p50, 1),
        lag_ms_p95=round(p95, 1),
        batch=round(float(np.mean(rows or [0])), 2),
        keeps_up=not late and p95 <= chunk_ms,
        peak_rss_mb=peak_rss_mb(),
    )


def largest(keeps_up: Callable[[int], bool], most: int) -> int:
    """Find the largest number up to `most` that keeps up, within an eighth of it, by doubling and bisection."""
    good, bad, number = 0, most + 1, 1
    while bad - good > max(1, good // 8):
        if keeps_up(number):
            good = number
        else:
            bad = number
        number = min(2 * good, most) if bad > most else (good + bad) // 2
    return good


def _schedule(samples: Samples, starts: Sequence[float], rate: int) -> list[tuple[float, int, Samples]]:
    """Return (time, stream, piece) in order of time: a piece is due when its last sample has been spoken."""
    size = rate * _PIECE_MS // 1000
    pieces = [samples[i : i + size] for i in range(0, len(samples), size)]
    entries = [
        (start + (count + 1) * size / rate, number, piece)
        for number, start in enumerate(starts)
        for count, piece in enumerate(pieces)
    ]
    return sorted(entries, key=lambda entry: entry[0])
