"""Connections that are closed in time: uvicorn's protocols with limits that uvicorn does not have.

A connection is closed if its first request has no complete head in time, or if it continues to send a body that was
refused. A WebSocket whose head is too long is refused, because its parser would never answer. A WebSocket that has
ended is not kept open by a client that does not read. An application can see when a WebSocket last received anything,
including pings and pongs, which uvicorn does not pass on.
"""

import asyncio
from typing import Any

import h11
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

from legato.serve.core.websocket import LAST_RECEIVED

_LINGER_SECONDS = 2.0
_PARTING_SECONDS = 10.0


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

    It records when anything was received.
    """

    _received = 0.0

    def data_received(self, data: bytes) -> None:
        """Handle bytes of the client."""
        self._received = self.loop.time()
        super().data_received(data)

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message of the application."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # by a refusal; uvicorn would report it as an error of the application

    async def run_asgi(self) -> None:
        """Run the application for this connection."""
        self.scope[LAST_RECEIVED] = lambda: self._received  # type: ignore[literal-required]
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(_PARTING_SECONDS, self.transport.abort)
