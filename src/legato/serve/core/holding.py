"""Responses that are sent bit by bit."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class HoldingResponse(StreamingResponse):
    """Text that comes bit by bit, and what is held until it is sent, or the client has left."""

    def __init__(self, held: AsyncExitStack, content: AsyncIterator[str], media_type: str) -> None:
        super().__init__(content, media_type=media_type, headers={"Cache-Control": "no-cache"})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._held:
            await super().__call__(scope, receive, send)
