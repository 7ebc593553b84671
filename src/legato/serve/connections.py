"""Connections that are closed in time: uvicorn's protocols with limits that uvicorn does not have.

A connection is closed if its first request has no complete head in time, or if it continues to send a body that was
refused. A WebSocket whose head is too long is refused, because its parser would never answer. A WebSocket that has
ended is not kept open by a client that does not read. An application can see when a WebSocket last received anything,
including pings and pongs, which uvicorn does not pass on.
"""

import asyncio
import contextlib
import time
from typing import Any

import h11
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

from legato.serve.core.held import MESSAGES
from legato.serve.core.websocket import LAST_RECEIVED

#: The share of a process's time that reading one client's frames may take on the long run, and seconds at once.
_SHARE, _BURST_SECONDS = 0.1, 0.1
#: Seconds for which one client's frames are read, and then left to the others.
_TURN_SECONDS, _OTHERS_SECONDS = 0.004, 0.016
_PART_BYTES = 4096
_MOST_FRAGMENTS = 1000
#: Answers to pings that a client has not read.
_MOST_UNREAD_BYTES = 65_536
_LINGER_SECONDS = 2.0
_REFUSED_SECONDS = 2.0
_PARTING_SECONDS = 10.0

#: The connections that are read more slowly now; together they get the share of one.
_SLOWED: set[asyncio.Protocol] = set()


def http_protocol(head_seconds: float) -> type[asyncio.Protocol]:
    """Return an HTTP protocol for uvicorn that closes connections without a first request in `head_seconds`."""

    class TimedHttp(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(head_seconds, self._close_without_request)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer is not None:
                self._timer.cancel()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
                # Not at once: the client may read its answer only after it has sent a little more.
                self._timer = self.loop.call_later(_LINGER_SECONDS, self._close_refused, self.cycle)

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            lines = [event.method + event.target + b"  HTTP/1.1", *(b": ".join(header) for header in self.headers)]
            if len(self.headers) > MAX_NUM_HEADERS or max(map(len, lines)) > MAX_LINE_LENGTH - len(b"\r\n"):
                self.send_400_response("The head of the WebSocket is too long. Send long options in a message.")
            else:
                super().handle_websocket_upgrade(event)

        def _close_refused(self, cycle: object) -> None:
            if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
                self.transport.close()

        def _close_without_request(self) -> None:
            # After an upgrade the transport has another protocol; after a request there is a cycle.
            if self.cycle is None and self.transport.get_protocol() is self:
                self.transport.close()

    return TimedHttp


class TimedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket protocol for uvicorn that closes the connection soon after its end, even without a reader.

    It records when anything was received. A client whose frames take much time to read is read more slowly. Pings are
    not answered while earlier answers are not read. Incomplete messages are bounded over all clients, and a message
    has a bounded number of fragments.
    """

    _received = 0.0
    _spent = _paid = 0.0
    _held = 0
    _slowed = _refused = _waits = False

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._unread = bytearray()
        self._lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Handle bytes of the client."""
        self._received = self.loop.time()
        self._unread += data
        self._read()

    def handle_ping(self) -> None:
        """Answer a ping, unless the client does not read."""
        if self.writable.is_set() and self.transport.get_write_buffer_size() < _MOST_UNREAD_BYTES:
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""
        self._hold(0)
        self._lost.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End the connection with the server. Where all is sent already, uvicorn would answer once more and fail."""
        if self.conn.eof_sent:
            self.transport.close()
        else:
            super().shutdown()

    async def receive(self) -> Any:
        """Return the next message for the application."""
        message = await super().receive()
        if self._reads_later:
            self.transport.pause_reading()
        return message

    @property
    def _reads_later(self) -> bool:
        """Whether reading goes on after a while, because the client has used up its turn or its share."""
        return self._slowed or self._waits

    def _last_received(self) -> float:
        """Return when anything was last received; that is now as long as the server does not read."""
        return self.loop.time() if self._reads_later else self._received

    def _read(self) -> None:
        """Read frames in parts, until the client has used up its turn, or its share of the time."""
        first = time.thread_time()
        while self._unread and not self._slowed and not self.transport.is_closing():
            began = time.thread_time()
            if began - first > _TURN_SECONDS:
                self._wait_for_turn()
                return
            part = bytes(self._unread[:_PART_BYTES])
            del self._unread[:_PART_BYTES]
            super().data_received(part)
            if not self._hold(len(self.conn.reader.buffer) + sum(map(len, self.frames))):
                self._refuse(1013, "no_room: The server has no room for the message. Try again later.")
            elif len(self.frames) > _MOST_FRAGMENTS:
                self._refuse(1009, f"A message may have at most {_MOST_FRAGMENTS} fragments.")
            self._pay(time.thread_time() - began)

    def _wait_for_turn(self) -> None:
        """Read on after the others had their turn."""
        if not self._waits:
            self._waits = True
            self.transport.pause_reading()
            self.loop.call_later(_OTHERS_SECONDS, self._take_turn)

    def _take_turn(self) -> None:
        self._waits = False
        self._read()
        self._resume()

    def _resume(self) -> None:
        """Accept more bytes of the client, unless something else waits for its earlier ones."""
        if not (self._reads_later or self.read_paused or self.transport.is_closing()):
            self.transport.resume_reading()

    def _hold(self, size: int) -> bool:
        """Note how many bytes of an incomplete message are held; return whether there is room."""
        before, self._held = self._held, size
        return MESSAGES.change(before, size)

    def _refuse(self, code: int, reason: str) -> None:
        """Send the reason, read no more, and close later: a client that floods the server cannot come again at once."""
        self._hold(0)
        self._refused = self._slowed = True
        for held in (self.frames, self._unread, self.conn.reader.buffer):
            held.clear()
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.transport.pause_reading()
        self.loop.call_later(_REFUSED_SECONDS, self.transport.close)

    def _pay(self, seconds: float) -> None:
        """Count processor time that the client's frames took, and read on later if it was more than its share."""
        now = self.loop.time()
        self._spent = max(0.0, self._spent - (now - self._paid) * _SHARE) + seconds
        self._paid = now
        if self._spent > _BURST_SECONDS and not self._slowed:
            self._slowed = True
            _SLOWED.add(self)
            self.transport.pause_reading()
            self.loop.call_later(len(_SLOWED) * self._spent / _SHARE, self._go_on)

    def _go_on(self) -> None:
        self._slowed = False
        self._received = self.loop.time()  # before, the server did not read: the client was not silent
        _SLOWED.discard(self)
        self._read()
        self._resume()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message of the application."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # by a refusal; uvicorn would report it as an error of the application

    async def run_asgi(self) -> None:
        """Run the application for this connection."""
        self.scope[LAST_RECEIVED] = self._last_received  # type: ignore[literal-required]
        application = self.app

        async def lasting(*arguments: Any) -> None:
            await application(*arguments)
            if self._refused:  # uvicorn closes the connection when the application ends
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._lost.wait(), _REFUSED_SECONDS)

        self.app = lasting
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(_PARTING_SECONDS, self.transport.abort)
