"""A WebSocket as the connection of a conversation."""

import asyncio
import contextlib
from collections.abc import Iterable

from starlette.websockets import WebSocket, WebSocketDisconnect

from legato.serve.auth import subprotocol_for
from legato.serve.core.limits import Limits
from legato.serve.errors import ClientLeftError
from legato.serve.settings import Settings

#: Key of a scope: a function that returns when anything was last received, on the clock of the event loop. It counts
#: pings and pongs too. Missing where another server runs the application, which then ends dead connections itself.
LAST_RECEIVED = "legato.last_received"
#: Seconds that a client has to read its last messages.
_CLOSING_SECONDS = 2.0


class WebSocketConnection:
    """The messages of one client over a WebSocket; see `conversation.Connection`."""

    def __init__(self, websocket: WebSocket, settings: Settings) -> None:
        self._websocket = websocket
        self._limits = Limits(settings)
        self._writing = asyncio.Lock()

    async def accept(self, *subprotocols: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Accept the socket, with the first of the client's subprotocols that is in a list, and response headers.

        Raises:
            ClientLeftError: the client disconnected.
        """
        try:
            await self._websocket.accept(subprotocol_for(self._websocket, *subprotocols), list(headers))
        except WebSocketDisconnect:
            raise ClientLeftError from None

    async def receive(self) -> str | bytes:
        """Wait for the client's next message; see `conversation.Connection.receive`."""
        async with self._writing:  # nothing is read from a client that does not read
            pass
        message = await self._limits.receive(self._websocket.receive, self._websocket.scope.get(LAST_RECEIVED))
        if message["type"] == "websocket.disconnect":
            raise ClientLeftError
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return data if text is None else text

    async def send(self, message: str) -> None:
        """Send a text message; see `conversation.Connection.send`."""
        try:
            async with self._writing, self._limits.sending():
                await self._websocket.send_text(message)
        except WebSocketDisconnect:
            raise ClientLeftError from None

    async def close(self, code: int, reason: str, *messages: str) -> None:
        """Send last messages and close; see `conversation.Connection.close`."""
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):  # the client has closed it
            async with asyncio.timeout(_CLOSING_SECONDS):
                for message in messages:
                    await self._websocket.send_text(message)
                await self._websocket.close(code, reason)
