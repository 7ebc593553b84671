"""The parts of a running server that all its protocols share."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from legato.engine.engine import Engine
from legato.serve.core.admission import LiveStreams
from legato.serve.core.drain import Drain
from legato.serve.core.files import Files
from legato.serve.metrics import Metrics
from legato.serve.settings import Settings
from legato.serve.short_keys import ShortKeys


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a running server.

    Attributes:
        engine: recognizes all live streams and files.
        settings: the settings of the server.
        metrics: counters and gauges.
        drain: counts the running work.
        live: opens live streams.
        files: recognizes files.
        short_keys: issues and checks short-lived keys.
        started: time of the start, in seconds since 1970.
    """

    engine: Engine
    settings: Settings
    metrics: Metrics
    drain: Drain
    live: LiveStreams
    files: Files
    short_keys: ShortKeys
    started: int


def service_of(connection: HTTPConnection) -> Service:
    """Return the service that a request or WebSocket belongs to."""
    service: Service = connection.app.state.service
    return service
