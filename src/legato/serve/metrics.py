"""Metrics for Prometheus, at /metrics.

A server of several processes keeps them in files of a common folder, as `prometheus_client` offers, so that any process
answers for all. What is measured when it is asked for comes from the server's tally.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request

from legato.chunks import FRAME_MS
from legato.engine.worker import Step
from legato.serve.tally import Tally

router = APIRouter()

#: The environment variable with the folder of the metrics of several processes; prometheus_client reads it too.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_WINDOW_SECONDS = 60.0
_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of a server, in their own registry.

    Args:
        tally: the numbers that the server's processes share.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "legato_requests",
            "HTTP requests and WebSockets, by route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.streams = Gauge(
            "legato_streams", "Open live streams.", ["interface"], registry=registry, multiprocess_mode="livesum"
        )
        self.measured = Gauge(
            "legato_measured_streams",
            "Live streams that this machine holds, as measured at the start; 0 with --max-streams.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.opened = Counter("legato_streams_opened", "Live streams opened so far.", ["interface"], registry=registry)
        self.refused = Counter(
            "legato_refused", "Streams and files refused so far.", ["interface", "reason"], registry=registry
        )
        self.failed = Counter(
            "legato_streams_failed", "Live streams that ended with an error.", ["interface"], registry=registry
        )
        self.files = Gauge("legato_files", "Files being recognized.", registry=registry, multiprocess_mode="livesum")
        self.files_waiting = Gauge(
            "legato_files_waiting",
            "Files that are arriving or wait for their turn.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.received = Counter("legato_audio_seconds", "Seconds of audio received.", ["interface"], registry=registry)
        self.latency = Histogram(
            "legato_chunk_latency_seconds",
            "Time from the arrival of audio to the text that needs it, in live streams.",
            ["interface"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch = Histogram(
            "legato_batch_rows",
            "Streams per step of the engine.",
            buckets=(1, 2, 4, 8, 12, 16, 24, 32, 64),
            registry=registry,
        )
        self.step = Histogram(
            "legato_step_seconds",
            "Duration of an engine step.",
            buckets=(0.002, 0.005, *_SECONDS),
            registry=registry,
        )
        self.recognized = Counter(
            "legato_recognized_seconds",
            "Seconds of audio that the engine has recognized, over all streams.",
            registry=registry,
        )
        self._lags: Callable[[], list[float]] = list
        self._steps: deque[tuple[float, float, float]] = deque()

    def on_step(self, step: Step) -> None:
        """Record a step; pass it as `Engine(on_step=...)`."""
        self.batch.observe(step.rows)
        self.step.observe(step.seconds)
        seconds = step.rows * step.frames * FRAME_MS / 1000
        self.recognized.inc(seconds)
        self._steps.append((time.monotonic(), step.seconds, seconds))
        self._forget()

    def watch_lags(self, lags: Callable[[], list[float]]) -> None:
        """Set the function that returns the seconds of audio queued in each live stream."""
        self._lags = lags

    def publish(self) -> None:
        """Write what this process measures into the tally."""
        lags = self._lags()
        recent = [each for each in list(self._steps) if each[0] >= time.monotonic() - _WINDOW_SECONDS]
        self._tally.set("lag", max(lags, default=0.0))
        self._tally.set("queue", sum(lags))
        self._tally.set("computing", sum(computing for _, computing, _ in recent))
        self._tally.set("audio", sum(seconds for _, _, seconds in recent))

    def text(self) -> bytes:
        """Return the metrics of the whole server in the text format of Prometheus."""
        self.publish()
        registry = self.registry
        if FOLDER_VARIABLE in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        measured = CollectorRegistry()
        measured.register(_Measured(self._tally))
        return generate_latest(registry) + generate_latest(measured)

    def _forget(self) -> None:
        oldest = time.monotonic() - _WINDOW_SECONDS
        while self._steps and self._steps[0][0] < oldest:
            self._steps.popleft()


class _Measured(Collector):
    """The gauges whose values are measured when they are asked for."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        """Yield the gauges."""
        tally, audio = self._tally, self._tally.total("audio")
        for name, help_text, value in (
            ("legato_lag_seconds", "Longest audio queue of a live stream.", tally.highest("lag")),
            ("legato_queue_seconds", "Audio queued over all live streams.", tally.total("queue")),
            (
                "legato_rtf",
                "Computing time per second of audio, over the last minute; 0 without work.",
                tally.total("computing") / audio if audio else 0.0,
            ),
        ):
            yield GaugeMetricFamily(name, help_text, value)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response, tags=["operation"])
def metrics(request: Request) -> Response:
    """Return counters, gauges and histograms in the text format of Prometheus."""
    found: Metrics = request.app.state.service.metrics
    return Response(found.text(), media_type=CONTENT_TYPE_LATEST)
