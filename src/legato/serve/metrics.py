"""What Prometheus may ask for at /metrics."""

import time
from collections import deque
from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request

from legato.engine.worker import Step

router = APIRouter()

_FRAME_SECONDS = 0.08
_WINDOW_SECONDS = 60.0
_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class Metrics:
    """Counters and gauges of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "legato_requests",
            "HTTP requests and WebSockets by route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.streams = Gauge("legato_streams", "Live streams that are open.", ["interface"], registry=registry)
        self.opened = Counter(
            "legato_streams_opened", "Live streams that were opened.", ["interface"], registry=registry
        )
        self.refused = Counter(
            "legato_refused", "Streams and files that were refused.", ["interface", "reason"], registry=registry
        )
        self.failed = Counter(
            "legato_streams_failed", "Live streams that ended with an error.", ["interface"], registry=registry
        )
        self.files = Gauge("legato_files", "Files that are being recognised.", registry=registry)
        self.files_waiting = Gauge(
            "legato_files_waiting", "Files that arrive or wait for their turn.", registry=registry
        )
        self.heard = Counter(
            "legato_audio_seconds", "Seconds of audio that were sent.", ["interface"], registry=registry
        )
        self.latency = Histogram(
            "legato_chunk_latency_seconds",
            "From the arrival of the audio that new text needs to that text, in live streams.",
            ["interface"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch = Histogram(
            "legato_batch_rows",
            "Streams in a step of the engine.",
            buckets=(1, 2, 4, 8, 12, 16, 24, 32, 64),
            registry=registry,
        )
        self.step = Histogram(
            "legato_step_seconds",
            "Duration of a step of the engine.",
            buckets=(0.002, 0.005, *_SECONDS),
            registry=registry,
        )
        self.recognised = Counter(
            "legato_recognized_seconds",
            "Seconds of audio that the engine has computed, in all streams.",
            registry=registry,
        )
        self._lag = Gauge("legato_lag_seconds", "Most audio that a live stream has waiting.", registry=registry)
        self._queue = Gauge("legato_queue_seconds", "Audio that all live streams have waiting.", registry=registry)
        self._rtf = Gauge(
            "legato_rtf",
            "Seconds of computing for a second of audio, over the last minute; 0 without work.",
            registry=registry,
        )
        self._steps: deque[tuple[float, float, float]] = deque()
        self._rtf.set_function(self._real_time_factor)

    def on_step(self, step: Step) -> None:
        """Note a step; for `Engine(on_step=...)`."""
        self.batch.observe(step.rows)
        self.step.observe(step.seconds)
        seconds = step.rows * step.frames * _FRAME_SECONDS
        self.recognised.inc(seconds)
        self._steps.append((time.monotonic(), step.seconds, seconds))
        self._forget()

    def watch_lags(self, lags: Callable[[], list[float]]) -> None:
        """Say what tells the seconds of audio that each live stream has waiting."""
        self._lag.set_function(lambda: max(lags(), default=0.0))
        self._queue.set_function(lambda: sum(lags()))

    def _forget(self) -> None:
        oldest = time.monotonic() - _WINDOW_SECONDS
        while self._steps and self._steps[0][0] < oldest:
            self._steps.popleft()

    def _real_time_factor(self) -> float:
        recent = [each for each in list(self._steps) if each[0] >= time.monotonic() - _WINDOW_SECONDS]
        audio = sum(seconds for _, _, seconds in recent)
        return sum(computing for _, computing, _ in recent) / audio if audio else 0.0


@router.get("/metrics", summary="Prometheus metrics", response_class=Response, tags=["operation"])
def metrics(request: Request) -> Response:
    """Counters, gauges and histograms in Prometheus' text format."""
    found: Metrics = request.app.state.service.metrics
    return Response(generate_latest(found.registry), media_type=CONTENT_TYPE_LATEST)
