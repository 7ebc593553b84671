"""Live streams for all protocols: admission, their records in metrics and logs, and their end when the server ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from legato.engine.engine import Engine
from legato.errors import BusyError, EngineError, LegatoError
from legato.options import NEVER, StreamOptions
from legato.serve.core.audio_format import AudioFormat
from legato.serve.core.container import Container
from legato.serve.core.drain import Drain
from legato.serve.core.options import prepare
from legato.serve.core.session import Session
from legato.serve.errors import ApiError, OverloadedError, ServerBusyError, ShuttingDownError, as_api_error
from legato.serve.logs import log_event
from legato.serve.metrics import Metrics
from legato.serve.settings import Settings


class LiveStreams:
    """Opens live streams and knows the open ones. Its length is their number."""

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics, drain: Drain) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._drain = drain
        self._open: set[Session] = set()
        self._opening = 0
        metrics.watch_lags(lambda: [session.queued_seconds for session in list(self._open)])

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def open(
        self, interface: str, audio_format: AudioFormat | Container, options: StreamOptions | None = None
    ) -> AsyncIterator[Session]:
        """Open a stream for a client; leaving the `async with` block cancels what is not finished.

        While the server shuts down, the session ends by itself as if the client had ended it: its last events come,
        and `session.drained` is true. The client should be told by closing its socket inside the block.

        Args:
            interface: name of the protocol, for metrics and logs.
            audio_format: the format in which the client sends its audio.
            options: options of the stream, by default those of the settings. Without an endpoint, only a commit and the
                end of the stream end a segment.

        Raises:
            ServerBusyError: the server is full, overloaded, or shuts down.
            ApiError: an option is wrong.
        """
        try:
            session = await self._start(interface, audio_format, options or self._settings.defaults)
        except ApiError as error:
            self._metrics.refused.labels(interface, error.code or "").inc()
            raise
        try:
            with self._drain.work(session.drain):
                self._enter(session, interface)
                cancelled = False
                try:
                    yield session
                except asyncio.CancelledError:
                    cancelled = True
                    raise
                except Exception as error:
                    session.failure = error
                    raise
                finally:
                    self._leave(session, interface, cancelled=cancelled)
        finally:
            session.close()

    async def _start(self, interface: str, audio_format: AudioFormat | Container, options: StreamOptions) -> Session:
        settings = self._settings
        self._check_room()
        if options.endpoint is None:
            options = replace(options, endpoint=NEVER)  # so that the end of the stream yields a segment too
        self._opening += 1
        try:
            prepared = await prepare(options, self._engine.recognizer, settings)
            stream = self._engine.open_async(prepared.options)
        except BusyError as error:
            raise ServerBusyError(str(error)) from None
        except EngineError as error:
            raise ShuttingDownError from error
        except LegatoError as error:
            raise as_api_error(error) from error
        finally:
            self._opening -= 1
        return Session(
            stream, interface, audio_format, prepared, self._engine.recognizer.bundle, settings, self._metrics
        )

    def _check_room(self) -> None:
        most = self._settings.max_streams
        if self._drain.begun:
            raise ShuttingDownError
        if len(self._open) + self._opening >= most:
            raise ServerBusyError(f"The server has {most} live streams open, which is its limit. Try again later.")
        lag = max((session.lag for session in self._open), default=0.0)
        if lag > self._settings.max_lag_seconds:
            raise OverloadedError(lag)

    def _enter(self, session: Session, interface: str) -> None:
        self._open.add(session)
        self._metrics.opened.labels(interface).inc()
        self._metrics.streams.labels(interface).inc()
        log_event("stream opened", stream=session.id, interface=interface, language=session.language)

    def _leave(self, session: Session, interface: str, *, cancelled: bool) -> None:
        self._open.discard(session)
        self._metrics.streams.labels(interface).dec()
        failure = session.failure
        if failure is not None and as_api_error(failure).status >= 500:
            self._metrics.failed.labels(interface).inc()
        log_event(
            "stream closed",
            stream=session.id, interface=interface, reason=_reason(session, cancelled=cancelled),
            drained=session.drained, seconds=round(session.accepted_seconds, 2),
            **(as_api_error(failure).fields if failure is not None else {}),
        )  # fmt: skip


def _reason(session: Session, *, cancelled: bool) -> str:
    """Return why a stream was closed: `cancelled`, the code of an error, `done`, or `left` if the client left early."""
    if cancelled:
        return "cancelled"
    if session.failure is not None:
        known = isinstance(session.failure, ApiError)
        return as_api_error(session.failure).code or "error" if known else type(session.failure).__name__
    return "done" if session.finished else "left"
