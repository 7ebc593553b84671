"""A TCP connection of a Wyoming client."""

import asyncio
import contextlib
import socket

from wyoming.event import Event, Eventable, async_write_event

from legato.serve.core.limits import Limits
from legato.serve.errors import ClientLeftError, SlowReaderError
from legato.serve.settings import Settings
from legato.serve.wyoming.events import read_event, read_head

#: Seconds that a client has to read its last events.
_CLOSING_SECONDS = 2.0
_DROPPED_BYTES = 1 << 16
#: How the system finds a client that is gone: seconds until it probes, seconds between probes, and probes.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}


class WyomingConnection:
    """The events of one client; see `conversation.Connection`.

    Args:
        reader: with a limit of `events.LINE_BYTES`.

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
        self._known = False  # whether the client has sent an event
        _keep_alive(writer.get_extra_info("socket"))

    async def receive(self) -> Event:
        """Wait for the client's next event; see `conversation.Connection.receive`.

        Wyoming has pings, but only of clients. So a client that has sent an event may be quiet, and the system finds
        out when it is gone.

        Raises:
            ApiError: the bytes are not an event, or the event is too large.
        """
        async with self._writing:  # nothing is read from a client that does not read
            pass
        try:
            if self._known:
                line = await self._limits.receive(lambda: read_head(self._reader))
            else:
                async with self._limits.receiving():
                    line = await read_head(self._reader)
            if line is None:
                raise ClientLeftError
            self._known = True
            async with self._limits.receiving():
                return await read_event(line, self._reader, self._max_bytes)
        except OSError:
            raise ClientLeftError from None

    async def send(self, message: Eventable) -> None:
        """Send an event; see `conversation.Connection.send`."""
        try:
            async with self._writing, self._limits.sending():
                if self._writer.is_closing():  # event loops differ in what writing raises
                    raise ClientLeftError
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
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: `receive` is waiting for the client
            async with asyncio.timeout(_CLOSING_SECONDS):
                for message in messages:
                    await async_write_event(message.event(), self._writer)
                if messages:  # closing with unread bytes resets the connection, and the client would lose the messages
                    self._writer.write_eof()
                    while await self._reader.read(_DROPPED_BYTES):
                        pass
                self._writer.close()
                await self._writer.wait_closed()
        self._writer.transport.abort()


def _keep_alive(connection: socket.socket | None) -> None:
    """Let the system close a connection whose client is gone."""
    if connection is None:
        return
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):  # not on all systems
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
