"""The parts of a running server that all its protocols share."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import HTTPConnection

from legato.serve.core.admission import LiveStreams
from legato.serve.core.files import Files
from legato.serve.core.parts import Parts
from legato.serve.short_keys import ShortKeys
from legato.serve.tally import Tally


@dataclass(frozen=True, slots=True)
class Shared:
    """What the processes of a server have in common; by default there is one process.

    Attributes:
        tally: the numbers of all processes.
        started: time of the server's start, in seconds since 1970.
        secret: signs short-lived keys where there are no API keys.
        folder: a folder for short-lived keys that are in use.
    """

    tally: Tally = field(default_factory=Tally)
    started: int = field(default_factory=lambda: round(time.time()))
    secret: bytes | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Service(Parts):
    """A running server: its parts, and what opens live streams, recognizes files and issues short-lived keys."""

    live: LiveStreams
    files: Files
    short_keys: ShortKeys
    shared: Shared


def service_of(connection: HTTPConnection) -> Service:
    """Return the service that a request or WebSocket belongs to."""
    service: Service = connection.app.state.service
    return service
