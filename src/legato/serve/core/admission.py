"""Live streams for the interfaces that have sockets: admission, limits, and their end when the server ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from legato.engine.engine import Engine
from legato.errors import BusyError, EngineError, LegatoError
from legato.options import NEVER
from legato.recognizer import Options
from legato.serve.core.audio_format import Wire
from legato.serve.core.container import Container
from legato.serve.core.drain import Drain
from legato.serve.core.session import Session
from legato.serve.errors import ApiError, as_api_error, busy, shutting_down
from legato.serve.logs import tell
from legato.serve.metrics import Metrics
from legato.serve.settings import Settings


class LiveStreams:
    """Opens live streams and knows those that are open."""

    def __init__(self, engine: Engine, settings: Settings, metrics: Metrics, drain: Drain) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._drain = drain
        self._open: set[Session] = set()
        self._opening = 0
        metrics.watch_lags(lambda: [session.lag for session in list(self._open)])

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def open(self, interface: str, wire: Wire | Container, options: Options) -> AsyncIterator[Session]:
        """Open a stream for a client; leaving the `async with` block gives up what is not done.

        While the server shuts down the session ends by itself, as if the client had said so: its last events come,
        `session.drained` is true, and the client should be told by closing its socket inside the block.

        Args:
            interface: name of the protocol, for metrics and logs.
            wire: how the client sends its audio.
            options: as for `Engine.stream`; without `language` and `chunk_ms` those of the settings. Without `endpoint`
                segments end with `commit` and the stream only.

        Raises:
            ApiError: the server is full or shuts down, or an option is wrong.
        """
        metrics = self._metrics
        try:
            session = await self._start(interface, wire, options)
        except ApiError as error:
            metrics.refused.labels(interface, error.code or "").inc()
            raise
        reason = "done"
        try:
            with self._drain.work(session.drain):
                self._open.add(session)
                metrics.opened.labels(interface).inc()
                metrics.streams.labels(interface).inc()
                tell("stream opened", stream=session.id, interface=interface, language=session.language)
                try:
                    yield session
                    reason = "done" if session.finished else "left"
                except asyncio.CancelledError:
                    reason = "cancelled"
                    raise
                except Exception as error:
                    reason = type(error).__name__
                    if as_api_error(error).status >= 500:
                        metrics.failed.labels(interface).inc()
                    raise
                finally:
                    self._open.discard(session)
                    metrics.streams.labels(interface).dec()
                    tell(
                        "stream closed",
                        stream=session.id, interface=interface, reason=reason, drained=session.drained,
                        seconds=round(session.heard_seconds, 2),
                    )  # fmt: skip
        finally:
            session.close()

    async def _start(self, interface: str, wire: Wire | Container, options: Options) -> Session:
        """Open a stream of the engine."""
        settings = self._settings
        if self._drain.begun:
            raise shutting_down()
        if len(self._open) + self._opening >= settings.max_streams:
            raise busy(f"The server has {settings.max_streams} live streams open, all that it admits. Try again later.")
        behind = max((session.behind for session in self._open), default=0.0)
        if behind > settings.max_lag_seconds:
            raise busy(f"The server is {behind:.1f} s behind the streams that it has. Try again later.", "overloaded")
        given: Options = {"language": settings.language, "chunk_ms": settings.chunk_ms, "endpoint": NEVER, **options}
        if given.get("endpoint") is None:
            given["endpoint"] = NEVER  # so that the end of a stream is told as a segment too
        phrases = given.get("phrases") or ()
        if isinstance(phrases, (list, tuple)) and len(phrases) > settings.max_phrases:
            raise ApiError(
                400, f"{len(phrases)} phrases: at most {settings.max_phrases} can be given.", code="too_many_phrases"
            )
        self._opening += 1
        try:
            # Thousands of phrases take a while, and everybody's loop must not wait for it.
            given["phrases"] = await asyncio.to_thread(self._engine.recognizer.compile_phrases, phrases)
            stream = self._engine.open_async(**given)
        except BusyError as error:
            raise busy(str(error)) from None
        except EngineError as error:
            raise shutting_down() from error
        except LegatoError as error:
            raise as_api_error(error) from error
        finally:
            self._opening -= 1
        return Session(stream, wire, interface, given["language"], given["chunk_ms"], settings, self._metrics)
