"""The limits of a conversation, each checked here: silence, slow reading, the length of a stream and its queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from legato.audio.source import SAMPLE_RATE, Samples
from legato.engine.streams import AsyncEngineStream
from legato.errors import BusyError
from legato.serve.errors import IdleError, SlowReaderError, StreamTooLongError, TooFastError
from legato.serve.settings import Settings


class Limits:
    """The limits that a client of the server must respect.

    The size of a message is limited where its bytes are read: by uvicorn for WebSockets, in `wyoming.events` for
    Wyoming. The number of streams is limited in `core.admission`, that of phrases in `core.options`.

    Args:
        settings: the values of the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """Limit the time that the block waits for a client's next message.

        Raises:
            IdleError: the client sent nothing for `idle_seconds`.
        """
        seconds = self._settings.idle_seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise IdleError(seconds) from None

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Limit the time that the block takes to send a message.

        Raises:
            SlowReaderError: the client did not read earlier messages for `idle_seconds`.
        """
        seconds = self._settings.idle_seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise SlowReaderError(seconds) from None

    async def accept(self, stream: AsyncEngineStream, samples: Samples, accepted_seconds: float) -> None:
        """Hand samples to a stream; wait while its queue is full, so that a client that is too fast is slowed down.

        Args:
            stream: stream of the engine.
            samples: float32[n] at 16 kHz.
            accepted_seconds: seconds of audio that the stream has accepted before.

        Raises:
            StreamTooLongError: the stream would be longer than `max_stream_seconds`.
            TooFastError: the queue was full for `idle_seconds`.
            AudioError: NaN or infinite samples; the stream can continue without them.
            EngineError: the stream failed.
        """
        longest = self._settings.max_stream_seconds
        if accepted_seconds + len(samples) / SAMPLE_RATE > longest:
            raise StreamTooLongError(longest)
        try:
            await stream.accept(samples, timeout=self._settings.idle_seconds)
        except BusyError as error:
            raise TooFastError(str(error)) from None
