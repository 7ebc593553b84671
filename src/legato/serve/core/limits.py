"""The limits of a conversation, each checked here: silence, slow reading, the length of a stream and its queue."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from operator import itemgetter
from typing import TypeVar

from legato.audio.arrays import check_samples
from legato.audio.source import SAMPLE_RATE, Samples
from legato.engine.streams import AsyncEngineStream
from legato.errors import BusyError
from legato.serve.errors import IdleError, SlowReaderError, StreamTooLongError, TooFastError
from legato.serve.settings import Settings

_Message = TypeVar("_Message")
#: Seconds of audio that are handed to a stream at once, so that the limit on waiting applies to each part of a message.
_PART_SECONDS = 1.0


class Limits:
    """The limits that a client of the server must respect.

    The size of a message is limited where its bytes are read: by uvicorn for WebSockets, in `wyoming.events` for
    Wyoming. The number of streams is limited in `core.admission`, that of phrases in `core.options`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def receive(
        self, receive: Callable[[], Awaitable[_Message]], last_received: Callable[[], float] | None = None
    ) -> _Message:
        """Wait for a client's next message.

        A client that is only quiet may stay: without a message for `max_stream_seconds`, as long as anything else comes
        from it, such as the answers to pings.

        Args:
            receive: waits for the message; it may be canceled and called again.
            last_received: returns when anything was last received, on the clock of the event loop. None if that is
                unknown, and something else ends dead connections.

        Raises:
            IdleError: nothing was received for `idle_seconds`, or no message for `max_stream_seconds`.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        idle, silent = self._settings.idle_seconds, self._settings.max_stream_seconds
        while True:
            if last_received is None:
                limit, deadline = silent, began + silent
            else:
                limit, deadline = min(
                    (idle, max(began, last_received()) + idle), (silent, began + silent), key=itemgetter(1)
                )
            if clock() >= deadline:
                raise IdleError(limit)
            try:
                async with asyncio.timeout_at(deadline):
                    return await receive()
            except TimeoutError:
                pass  # the client may have shown signs of life meanwhile

    def receiving(self) -> AbstractAsyncContextManager[None]:
        """Limit the time that the block waits for the rest of a message, or for the first message of a client.

        Raises:
            IdleError: the client sent nothing for `idle_seconds`.
        """
        return self._in_time(IdleError)

    def sending(self) -> AbstractAsyncContextManager[None]:
        """Limit the time that the block takes to send a message.

        Raises:
            SlowReaderError: the client did not read earlier messages for `idle_seconds`.
        """
        return self._in_time(SlowReaderError)

    @asynccontextmanager
    async def _in_time(self, error: type[IdleError | SlowReaderError]) -> AsyncIterator[None]:
        seconds = self._settings.idle_seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise error(seconds) from None

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
        check_samples(samples, allow_empty=True)  # all of a message is accepted, or nothing
        try:
            step = round(_PART_SECONDS * SAMPLE_RATE)
            for start in range(0, len(samples), step):
                await stream.accept(samples[start : start + step], timeout=self._settings.idle_seconds)
        except BusyError as error:
            raise TooFastError(str(error)) from None
