"""Responses that are sent piece by piece."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

#: Neither a cache nor nginx (`X-Accel-Buffering`) may hold the pieces back.
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class HoldingResponse(StreamingResponse):
    """A streamed text response that releases resources when it is sent, or when the client disconnects.

    Args:
        content: the pieces of the text.
        media_type: the type of the text.
    """

    def __init__(self, held: AsyncExitStack, content: AsyncIterator[str], media_type: str) -> None:
        super().__init__(content, media_type=media_type, headers=_HEADERS)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        async with self._held:
            await super().__call__(scope, receive, send)
