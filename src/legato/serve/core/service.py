"""What the interfaces share."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from legato.engine.engine import Engine
from legato.serve.core.admission import LiveStreams
from legato.serve.core.drain import Drain
from legato.serve.core.files import Files
from legato.serve.metrics import Metrics
from legato.serve.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """A running server's parts.

    Attributes:
        engine: recognises everything that comes.
        live: opens live streams.
        files: recognises files.
        settings, metrics, drain: see their modules.
        started: when it was made, in seconds since 1970.
    """

    engine: Engine
    settings: Settings
    metrics: Metrics
    drain: Drain
    live: LiveStreams
    files: Files
    started: int


def service_of(connection: HTTPConnection) -> Service:
    """Give the service that a request or WebSocket belongs to."""
    service: Service = connection.app.state.service
    return service
