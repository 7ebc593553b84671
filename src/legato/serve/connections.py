"""HTTP connections that must say what they want, and must stop when they have their answer.

One whose first request has no whole head for long is closed, and one that goes on sending a body that was refused. A
WebSocket whose head is too long is refused, for what reads it would never answer; and one that ended is not held open
by a client that does not read.
"""

import asyncio
from typing import Any

import h11
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

_LINGER_SECONDS = 2.0
_PARTING_SECONDS = 10.0


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


class Determined(WebSocketsSansIOProtocol):
    """WebSockets for uvicorn that are gone soon after their end, be it that the client never reads what it was sent."""

    async def send(self, message: ASGISendEvent) -> None:  # noqa: D102
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # with a refusal; uvicorn would report it as an error of ours

    async def run_asgi(self) -> None:  # noqa: D102
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(_PARTING_SECONDS, self.transport.abort)
