"""HTTP connections that must say what they want, and must stop when they have their answer.

One whose first request has no whole head for long is closed, and one that goes on sending a body that was refused. A
WebSocket whose head is too long is refused; what reads it would never answer.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

_LINGER_SECONDS = 2.0


def impatient(seconds: float) -> type[asyncio.Protocol]:
    """Make a protocol for uvicorn that closes connections whose first request does not come in so many seconds."""

    class Impatient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(seconds, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer is not None:
                self._timer.cancel()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
                # Not at once: the client may read its answer only when it has sent a little more.
                self._timer = self.loop.call_later(_LINGER_SECONDS, self._hang_up, self.cycle)

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            lines = [event.method + event.target + b"  HTTP/1.1", *(b": ".join(header) for header in self.headers)]
            if len(self.headers) > MAX_NUM_HEADERS or max(map(len, lines)) > MAX_LINE_LENGTH - len(b"\r\n"):
                self.send_400_response("Too long for the head of a WebSocket. Send long options in a message.")
            else:
                super().handle_websocket_upgrade(event)

        def _hang_up(self, cycle: object) -> None:
            if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
                self.transport.close()

        def _give_up(self) -> None:
            # A WebSocket has taken the transport over; a request that came has a cycle.
            if self.cycle is None and self.transport.get_protocol() is self:
                self.transport.close()

    return Impatient
