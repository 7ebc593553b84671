"""The process: a listening socket, uvicorn, and SIGTERM."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from legato.errors import LegatoError
from legato.serve.connections import Determined, impatient
from legato.serve.core.service import Service
from legato.serve.logs import tell
from legato.serve.settings import Settings, is_loopback


def listen(settings: Settings) -> socket.socket:
    """Open the socket to listen on.

    Raises:
        LegatoError: everybody could use the server without a key, or the address is not to be had.
    """
    if not (settings.is_local or settings.api_keys or settings.allow_anonymous):
        raise LegatoError(
            f"{settings.host} can be reached from other machines, and no API key is asked for. Set LEGATO_API_KEYS or "
            "--api-key-file, or give --allow-anonymous if everybody may use this server."
        )
    return bind(settings.host, settings.port, "--host or --port")


def listen_wyoming(settings: Settings) -> socket.socket | None:
    """Open the socket to listen on for Wyoming; None without a port.

    Raises:
        LegatoError: everybody could use it, or the address is not to be had.
    """
    if settings.wyoming_port is None:
        return None
    if not (is_loopback(settings.wyoming_host) or settings.allow_anonymous):
        raise LegatoError(
            f"{settings.wyoming_host} can be reached from other machines, and Wyoming knows no API keys. Give "
            "--allow-anonymous if everybody may use it, or --wyoming-host 127.0.0.1."
        )
    return bind(settings.wyoming_host, settings.wyoming_port, "--wyoming-host or --wyoming-port")


def bind(host: str, port: int, options: str) -> socket.socket:
    """Open a socket at an address.

    Raises:
        LegatoError: it is not to be had; says with which options to choose another.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LegatoError(f"Cannot listen on {host} port {port}: {reason}. Choose another {options}.") from None
    return listener


def address_of(listener: socket.socket, scheme: str = "http") -> str:
    """Give the address of a listening socket, such as `http://127.0.0.1:8000`."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def run(app: FastAPI, listener: socket.socket, settings: Settings, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs; a second signal ends at once.

    Args:
        app: what `create_app` made.
        listener: what `listen` opened; closed afterwards.
        settings: those of the application.
        ready: is called when requests are answered.
    """
    _raise_file_limit()
    config = uvicorn.Config(
        app,
        http=impatient(settings.idle_seconds),
        ws=Determined,
        ws_max_size=settings.max_message_bytes,
        ws_ping_interval=20.0,
        # The answer to a ping waits behind the audio of a client that is faster than we are; `idle_seconds` finds those
        # that are gone.
        ws_ping_timeout=None,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        backlog=2048,
    )
    _Server(config, app.state.service, ready).run([listener])


class _Server(uvicorn.Server):
    """Uvicorn, which would close all WebSockets on SIGTERM at once; this lets them finish first."""

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._ready = ready
        self._ending: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.started or self._service.drain.begun:  # asked twice: at once
            self.should_exit = True
            self.force_exit = self.started and sig == signal.SIGINT
            return
        self._loop.call_soon_threadsafe(self._begin_to_end)

    def _begin_to_end(self) -> None:
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        seconds = self._service.settings.grace_seconds
        tell("draining", streams=len(self._service.live), seconds=seconds)
        finished = await self._service.drain.finish(seconds)
        tell("drained" if finished else "given up what was not finished in time")
        if not finished:
            self.config.timeout_graceful_shutdown = 0
        self.should_exit = True


def _raise_file_limit() -> None:
    """Allow as many connections as the system lets us have."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # unlimited is not always to be had
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
