"""Live streams for all protocols: admission, their records in metrics and logs, and their end when the server ends."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from legato.audio.pcm import AudioFormat
from legato.errors import BusyError, EngineError, LegatoError
from legato.options import NEVER, StreamOptions
from legato.serve.core.container import Container
from legato.serve.core.lateness import Lateness
from legato.serve.core.options import prepare
from legato.serve.core.parts import Parts
from legato.serve.core.session import Session
from legato.serve.errors import ApiError, OverloadedError, ServerBusyError, ShuttingDownError, as_api_error
from legato.serve.logs import log_event

#: Share of a chunk's duration by which the streams may come late before no further ones are admitted.
_MOST_LATE = 0.6
#: A stream is in the measurements after this time.
_SETTLED_SECONDS = 2.0
_MOST_GROWTH = 2.0
#: With fewer streams than this, one more is not judged by the lateness of those.
_FEWEST_SETTLED = 2


class LiveStreams:
    """Opens live streams and knows the open ones. Its length is their number."""

    def __init__(self, parts: Parts, lateness: Lateness) -> None:
        self._parts = parts
        self._lateness = lateness
        self._open: set[Session] = set()
        parts.metrics.watch_lags(lambda: [session.queued_seconds for session in list(self._open)])

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
            ServerBusyError: the server is full (after a short wait for a place), overloaded, or shuts down.
            ApiError: an option is wrong.
        """
        try:
            await self._take_place()
        except ApiError as error:
            self._parts.metrics.refused.labels(interface, error.code or "").inc()
            raise
        try:
            async with self._session(interface, audio_format, options or self._parts.settings.defaults) as session:
                yield session
        finally:
            self._parts.tally.give_back("streams")

    @asynccontextmanager
    async def _session(
        self, interface: str, audio_format: AudioFormat | Container, options: StreamOptions
    ) -> AsyncIterator[Session]:
        try:
            session = await self._start(interface, audio_format, options)
        except ApiError as error:
            self._parts.metrics.refused.labels(interface, error.code or "").inc()
            raise
        try:
            with self._parts.drain.work(session.drain):
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
        parts, bundle = self._parts, self._parts.engine.recognizer.bundle
        if options.endpoint is None:
            options = replace(options, endpoint=NEVER)  # so that the end of the stream yields a segment too
        try:
            prepared = await prepare(options, parts.engine.recognizer, parts.settings)
            stream = parts.engine.open_async(prepared.options)
        except BusyError as error:
            raise ServerBusyError(str(error)) from None
        except EngineError as error:
            raise ShuttingDownError from error
        except LegatoError as error:
            raise as_api_error(error) from error
        return Session(stream, interface, audio_format, prepared, bundle, parts.settings, parts.metrics)

    async def _take_place(self) -> None:
        """Take a place among the live streams of the whole server."""
        if self._parts.drain.begun:
            raise ShuttingDownError
        self._check_lateness()
        most = self._parts.settings.max_streams or round(self._parts.tally.total("capacity"))
        if not await self._parts.tally.take_soon("streams", most):
            raise ServerBusyError(f"The server has {most} live streams open, which is its limit. Try again later.")

    def _check_lateness(self) -> None:
        """Refuse a stream with which those that run would come late."""
        if self._parts.settings.max_lag_seconds == math.inf:
            return
        now = time.monotonic()
        settled = sum(now - session.opened > _SETTLED_SECONDS for session in self._open)
        # Streams that were opened a moment ago are not in the measurement yet. Few settled ones say little about many.
        share = self._lateness.share * min(_MOST_GROWTH, (len(self._open) + 1) / max(1, settled))
        if settled >= _FEWEST_SETTLED and share > _MOST_LATE:
            raise OverloadedError(self._lateness.share * self._parts.settings.chunk_ms / 1000)
        lag = max((session.lag for session in self._open), default=0.0)
        if lag > self._parts.settings.max_lag_seconds:
            raise OverloadedError(lag)

    def _enter(self, session: Session, interface: str) -> None:
        self._open.add(session)
        self._parts.metrics.opened.labels(interface).inc()
        self._parts.metrics.streams.labels(interface).inc()
        log_event("stream opened", stream=session.id, interface=interface, language=session.language)

    def _leave(self, session: Session, interface: str, *, cancelled: bool) -> None:
        self._open.discard(session)
        self._parts.metrics.streams.labels(interface).dec()
        failure, reason = session.failure, _reason(session, cancelled=cancelled)
        if failure is not None and as_api_error(failure).status >= 500:
            self._parts.metrics.failed.labels(interface).inc()
        log_event(
            "stream closed",
            stream=session.id, interface=interface, reason=reason,
            drained=session.drained, seconds=round(session.accepted_seconds, 2),
            **(as_api_error(failure).fields if failure is not None else {}),
        )  # fmt: skip
        if self._parts.tracing is not None:
            self._parts.tracing.record(
                "legato.stream", time.monotonic() - session.opened,
                {
                    "legato.stream.id": session.id, "legato.interface": interface,
                    "legato.model": self._parts.settings.model, "legato.language": session.language,
                    "legato.audio.seconds": round(session.accepted_seconds, 2),
                    "legato.reason": reason, "legato.drained": session.drained,
                },
                None if failure is None else reason,
            )  # fmt: skip


def _reason(session: Session, *, cancelled: bool) -> str:
    """Return why a stream was closed: `cancelled`, the code of an error, `done`, or `left` if the client left early."""
    if cancelled:
        return "cancelled"
    if session.failure is not None:
        known = isinstance(session.failure, ApiError)
        return as_api_error(session.failure).code or "error" if known else type(session.failure).__name__
    return "done" if session.finished else "left"
