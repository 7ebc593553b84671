"""The conversation with a client about its live streams, as all protocols hold it.

A protocol is a subclass of `Conversation`. It defines the first message (`greet`), the reaction to a client's message
(`obey`), the messages about an event of a stream (`tell`), and the last messages after an error (`report`). The reading
and the writing loop, the end of the streams, errors and the shutdown of the server are the same for all protocols.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from legato.serve.core.pace import Pace
from legato.serve.core.session import Session
from legato.serve.errors import ApiError, ClientLeftError, IdleError, SlowReaderError, as_api_error
from legato.serve.logs import log_event
from legato.types import Event

logger = logging.getLogger("legato.serve")

#: Refused messages of one conversation that are logged.
_MOST_LOGGED = 10

#: Messages of a client per second on the long run, and at once: audio of 20 ms at eight times its speed.
_MESSAGES = (400, 1000)

Received = TypeVar("Received")
Sent = TypeVar("Sent")
_Received_co = TypeVar("_Received_co", covariant=True)
_Sent_contra = TypeVar("_Sent_contra", contravariant=True)


class Connection(Protocol[_Received_co, _Sent_contra]):
    """A connection with a client that carries messages in both directions."""

    async def receive(self) -> _Received_co:
        """Wait for the client's next message; receive nothing while a message to the client cannot be sent.

        Raises:
            ClientLeftError: the client disconnected.
            IdleError: nothing came from the client, see `Limits.receive`.
        """

    async def send(self, message: _Sent_contra, /) -> None:
        """Send a message.

        Raises:
            ClientLeftError: the client disconnected.
            SlowReaderError: the client did not read earlier messages for `idle_seconds`.
        """

    async def close(self, code: int, reason: str, *messages: _Sent_contra) -> None:
        """Send last messages and close; do not wait long for a client that does not read. Harmless when closed.

        Args:
            reason: reason for the close, for people.
        """


class Conversation(ABC, Generic[Received, Sent]):
    """One client and its sessions, one session per channel that is recognized separately.

    Attributes:
        finishes_after_error: whether the audio that was accepted before a wrong message is still recognized, and its
            events are sent, before the error is reported.

    Args:
        sessions: the sessions, open.
        first: a message that the client sent before the sessions were open.
    """

    finishes_after_error: ClassVar[bool]

    def __init__(
        self, connection: Connection[Received, Sent], sessions: Sequence[Session], first: Received | None = None
    ) -> None:
        self.connection = connection
        self.sessions = sessions
        self._first = first
        self._failure: Exception | None = None
        self._idle: IdleError | None = None
        self._refused = 0

    @abstractmethod
    async def greet(self) -> None:
        """Send what a client receives first."""

    @abstractmethod
    async def obey(self, message: Received) -> bool:
        """Obey a message of the client, and answer it.

        Returns:
            Whether more messages may follow; after the last, the audio ends.

        Raises:
            ApiError, LegatoError: the conversation cannot continue.
        """

    @abstractmethod
    async def tell(self, event: Event, channel: int) -> None:
        """Send the messages about an event.

        Args:
            channel: index of its session.
        """

    @abstractmethod
    def report(self, error: ApiError) -> Sequence[Sent]:
        """Return the last messages after an error that ends the conversation."""

    async def conclude(self) -> None:
        """Close the connection after the last event. The end of an idle client is not an error."""
        if self.drained:
            await self.connection.close(1001, "The server is shutting down.")
        else:
            await self.connection.close(1000, "" if self._idle is None else self._idle.close_reason)

    @property
    def idle(self) -> bool:
        """Whether the streams were ended because nothing came from the client."""
        return self._idle is not None

    @property
    def drained(self) -> bool:
        """Whether the server has ended the streams because it shuts down."""
        return any(session.drained for session in self.sessions)

    def log_refused(self, error: ApiError) -> None:
        """Log why a message was refused after which the conversation continues; only the first ones."""
        self._refused += 1
        if self._refused <= _MOST_LOGGED:
            log_event("message refused", stream=self.sessions[0].id, **error.fields)

    async def run(self) -> None:
        """Run the conversation to its end: the last event, an error (which is reported), or the client's departure."""
        try:
            await self.greet()
            await self._exchange()
        except ClientLeftError:
            return
        except Exception as error:
            self._failure = error
        for session in self.sessions:
            session.failure = self._failure or self._idle
        if self._failure is None:
            await self.conclude()
            return
        refusal = disclosed(self._failure)
        await self.connection.close(refusal.close_code, refusal.close_reason, *self.report(refusal))

    async def _exchange(self) -> None:
        """Read and write until all events are sent."""
        reader = asyncio.ensure_future(self._read())
        writer = asyncio.ensure_future(self._write())
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done() and not writer.done():
                reader.result()
                for session in self.sessions:
                    await session.end()
            await writer
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    async def _read(self) -> None:
        """Obey the client's messages, up to the last one or to an error after which the streams are finished."""
        try:
            more = True if self._first is None else await self.obey(self._first)
            pace = Pace(*_MESSAGES)
            while more:
                more = await self.obey(await self.connection.receive())
                await pace.keep()
        except IdleError as error:
            self._idle = error
        except ApiError as error:
            if not self.finishes_after_error or isinstance(error, ClientLeftError | SlowReaderError):
                raise
            self._failure = error

    async def _write(self) -> None:
        """Send the messages about the events of all sessions."""
        writers = [asyncio.ensure_future(self._write_channel(number)) for number in range(len(self.sessions))]
        try:
            await asyncio.gather(*writers)
        finally:
            for writer in writers:
                writer.cancel()

    async def _write_channel(self, channel: int) -> None:
        async for event in self.sessions[channel]:
            await self.tell(event, channel)


def log_refusal(interface: str, error: ApiError) -> None:
    """Log why a client was refused before it had a stream. A stream that ends by an error has its reason in the log."""
    log_event("refused", interface=interface, **error.fields)


def disclosed(error: Exception) -> ApiError:
    """Return an error as the client may see it; log an unexpected one."""
    refusal = as_api_error(error)
    if refusal is not error and refusal.status >= 500:
        logger.error("A conversation failed.", exc_info=error)
    return refusal
