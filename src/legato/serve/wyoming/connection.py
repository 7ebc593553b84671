"""A TCP connection of a Wyoming client."""

import asyncio
import contextlib

from wyoming.event import Event, Eventable, async_write_event

from legato.serve.core.limits import Limits
from legato.serve.errors import ClientLeftError, SlowReaderError
from legato.serve.settings import Settings
from legato.serve.wyoming.events import read_event

#: Seconds that a client has to read its last events.
_CLOSING_SECONDS = 2.0


class WyomingConnection:
    """The events of one client; see `conversation.Connection`.

    Args:
        reader: with a limit of `events.LINE_BYTES`.
        writer: of the same connection.
        settings: limits.

    Attributes:
        closed: whether `close` was called.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: Settings) -> None:
        self.closed = False
        self._reader = reader
        self._writer = writer
        self._max_bytes = settings.max_message_bytes
        self._limits = Limits(settings)
        self._writing = asyncio.Lock()

    async def receive(self) -> Event:
        """Wait for the client's next event; see `conversation.Connection.receive`.

        Raises:
            ApiError: the bytes are not an event, or the event is too large.
        """
        async with self._writing:  # nothing is read from a client that does not read
            pass
        try:
            async with self._limits.receiving():
                event = await read_event(self._reader, self._max_bytes)
        except OSError:
            raise ClientLeftError from None
        if event is None:
            raise ClientLeftError
        return event

    async def send(self, message: Eventable) -> None:
        """Send an event; see `conversation.Connection.send`."""
        try:
            async with self._writing, self._limits.sending():
                await async_write_event(message.event(), self._writer)
        except SlowReaderError:
            self._writer.transport.abort()
            raise
        except OSError:
            raise ClientLeftError from None

    async def close(self, code: int = 1000, reason: str = "", *messages: Eventable) -> None:
        """Send last events and close; see `conversation.Connection.close`. Code and reason are not sent."""
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                for message in messages:
                    await async_write_event(message.event(), self._writer)
                self._writer.close()
                await self._writer.wait_closed()
        self._writer.transport.abort()
