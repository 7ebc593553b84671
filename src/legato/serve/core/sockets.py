"""What the WebSocket interfaces have in common: waiting for a client, but not for ever, and talking both ways."""

import asyncio
import contextlib
from collections.abc import Coroutine

from starlette.websockets import WebSocket, WebSocketDisconnect

from legato.serve.core.session import Session
from legato.serve.errors import ApiError

_PARTING_SECONDS = 2.0


async def receive(websocket: WebSocket, idle_seconds: float) -> str | bytes:
    """Wait for the client's next message.

    Raises:
        WebSocketDisconnect: the client left.
        ApiError: it sent nothing for so long.
    """
    try:
        async with asyncio.timeout(idle_seconds):
            message = await websocket.receive()
    except TimeoutError:
        raise ApiError(408, f"Nothing came for {idle_seconds:g} s.", code="idle") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
    text: str | None = message.get("text")
    data: bytes = message.get("bytes") or b""
    return data if text is None else text


async def send(websocket: WebSocket, text: str, patience_seconds: float) -> None:
    """Send a text message.

    Raises:
        WebSocketDisconnect: the client left.
        ApiError: it has not read what came before for so long.
    """
    try:
        async with asyncio.timeout(patience_seconds):
            await websocket.send_text(text)
    except TimeoutError:
        raise ApiError(408, f"The client read nothing for {patience_seconds:g} s.", code="slow_reader") from None


async def converse(
    session: Session, reading: Coroutine[object, object, None], writing: Coroutine[object, object, None]
) -> None:
    """Run both directions of a socket until all events of the session are written.

    Args:
        session: the stream between them.
        reading: hands the client's messages to the session, and returns when the client has said that it is done: then
            the session is ended. What it raises ends both, a client that left as well.
        writing: writes the session's events, and returns after the last; then `reading` is cancelled.
    """
    reader = asyncio.ensure_future(reading)
    writer = asyncio.ensure_future(writing)
    try:
        await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        if reader.done() and not writer.done():
            reader.result()
            await session.end()
        await writer
    finally:
        for task in (reader, writer):
            task.cancel()
        await asyncio.gather(reader, writer, return_exceptions=True)


async def part(websocket: WebSocket, code: int, reason: str, text: str | None = None) -> None:
    """Close a socket, with a last message before; does not wait for a client that does not read."""
    with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):  # it is closed already
        async with asyncio.timeout(_PARTING_SECONDS):
            if text is not None:
                await websocket.send_text(text)
            await websocket.close(code, reason)
