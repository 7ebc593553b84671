"""The server process: listening sockets, uvicorn, and an orderly end on SIGTERM."""

import asyncio
import contextlib
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from legato.errors import LegatoError
from legato.serve.connections import TimedWebSocket, http_protocol
from legato.serve.core.service import Service
from legato.serve.logs import log_event
from legato.serve.settings import Settings, is_loopback

_PING_SECONDS = 20.0
BACKLOG = 2048


def listen(settings: Settings) -> socket.socket:
    """Open the socket to listen on.

    Raises:
        LegatoError: anybody could use the server without a key, the certificate is not usable, or the address is not
            available.
    """
    if not (settings.is_local or settings.api_keys or settings.allow_anonymous):
        raise LegatoError(
            f"{settings.host} can be reached from other machines, and no API keys are set. Set LEGATO_API_KEYS or "
            "--api-key-file, or pass --allow-anonymous if anybody may use this server."
        )
    _check_certificate(settings)
    return bind(settings.host, settings.port, "--host or --port")


def listen_wyoming(settings: Settings) -> socket.socket | None:
    """Open the socket to listen on for Wyoming; None if the settings name no port.

    Raises:
        LegatoError: anybody could use it, or the address is not available.
    """
    if settings.wyoming_port is None:
        return None
    if not (is_loopback(settings.wyoming_host) or settings.allow_anonymous):
        raise LegatoError(
            f"{settings.wyoming_host} can be reached from other machines, and Wyoming has no API keys. Pass "
            "--allow-anonymous if anybody may use it, or --wyoming-host 127.0.0.1."
        )
    return bind(settings.wyoming_host, settings.wyoming_port, "--wyoming-host or --wyoming-port")


def bind(host: str, port: int, options: str) -> socket.socket:
    """Open a socket at an address.

    Raises:
        LegatoError: the address is not available; the message names the `options` that choose another.
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
    """Return the address of a listening socket, such as `http://127.0.0.1:8000`."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def run(app: FastAPI, listener: socket.socket, settings: Settings, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish the running work. A second signal ends the server immediately.

    Args:
        app: the application, from `create_app`.
        listener: the socket, from `listen`; it is closed at the end.
        ready: called once requests are answered.
    """
    raise_file_limit()
    DrainingServer(uvicorn_config(app, settings), app.state.service, ready).run([listener])


def uvicorn_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return uvicorn's configuration for an application with these settings."""
    return uvicorn.Config(
        app,
        http=http_protocol(settings.idle_seconds),
        ws=TimedWebSocket,
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,  # audio hardly shrinks, and every message would be unpacked
        ws_ping_interval=min(_PING_SECONDS, settings.idle_seconds / 3),
        # The pong of a client that sends audio faster than it is recognized is queued after that audio. So a missing
        # pong means nothing; `idle_seconds` finds the clients that are gone.
        ws_ping_timeout=None,
        timeout_keep_alive=settings.keep_alive_seconds,  # type: ignore[arg-type]  # seconds of a timer
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        backlog=BACKLOG,
    )


class DrainingServer(uvicorn.Server):
    """Uvicorn, but open streams are finished on SIGTERM. Uvicorn itself would close all WebSockets immediately."""

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service = service
        self._ready = ready
        self._ending: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if not self.started or self._service.drain.begun:  # a second signal
            self.should_exit = True
            self.force_exit = self.started and sig == signal.SIGINT
            return
        self._loop.call_soon_threadsafe(self._begin_to_end)

    def _begin_to_end(self) -> None:
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        seconds = self._service.settings.grace_seconds
        log_event("draining", streams=len(self._service.live), seconds=seconds)
        finished = await self._service.drain.finish(seconds)
        log_event("drained" if finished else "unfinished work is abandoned")
        if not finished:
            self._service.drain.abandon()
            self.config.timeout_graceful_shutdown = 1  # for the answers to those whose files are abandoned
        self.should_exit = True


def _check_certificate(settings: Settings) -> None:
    if settings.ssl_certfile is None:
        if settings.ssl_keyfile is not None:
            raise LegatoError("A private key needs a certificate: pass --ssl-certfile too.")
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            settings.ssl_certfile,
            settings.ssl_keyfile,
            password=lambda: "",  # never ask at the terminal
        )
    except OSError as error:  # SSLError is one
        raise LegatoError(
            f"{settings.ssl_certfile}: the certificate or its private key is not usable: {error}. Pass PEM files with "
            "--ssl-certfile and --ssl-keyfile, the key without a password."
        ) from None


def raise_file_limit() -> None:
    """Allow as many connections as the system permits."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems refuse an unlimited number
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
