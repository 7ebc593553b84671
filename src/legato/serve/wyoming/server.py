"""Wyoming, the protocol of Home Assistant's voice assistants: events over TCP, as lines of JSON followed by audio.

A client may ask for several things on one connection: `describe`, or `transcribe`, `audio-start`, any number of
`audio-chunk`, and `audio-stop`. Text is sent while it is spoken, and the whole text in a `transcript` at the end. After
an error the connection is closed, because clients wait for nothing but a transcript.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from legato.serve.core.service import Service
from legato.serve.wyoming.client import Client
from legato.serve.wyoming.connection import WyomingConnection
from legato.serve.wyoming.events import LINE_BYTES


@asynccontextmanager
async def serve_wyoming(
    service: Service, listener: socket.socket | None
) -> AsyncIterator[Callable[[socket.socket], Awaitable[None]]]:
    """Serve on a bound socket, if there is one; leaving the `async with` block closes it with all its connections.

    Yields:
        A function that serves a connection which was accepted elsewhere.
    """
    clients: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(task := asyncio.current_task())
        try:
            await Client(service, WyomingConnection(reader, writer, service.settings)).serve()
        except asyncio.CancelledError:  # the server has ended
            writer.transport.abort()
        finally:
            clients.discard(task)

    async def adopt(connection: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: asyncio.StreamReaderProtocol(reader, serve), connection)

    server = None
    if listener is not None:
        server = await asyncio.start_server(serve, sock=listener, limit=LINE_BYTES, backlog=2048)
    try:
        yield adopt
    finally:
        if server is not None:
            server.close()
        running = [task for task in clients if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
