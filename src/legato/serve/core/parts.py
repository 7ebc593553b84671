"""The parts of a running server that live streams and files share."""

from dataclasses import dataclass

from legato.engine.engine import Engine
from legato.serve.core.drain import Drain
from legato.serve.metrics import Metrics
from legato.serve.settings import Settings
from legato.serve.tally import Tally
from legato.serve.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts: `drain` counts the running work; `tracing` is None where nothing is traced."""

    engine: Engine
    settings: Settings
    metrics: Metrics
    drain: Drain
    tally: Tally
    tracing: Tracing | None
