"""Clients that send more than a server should have to bear.

`python -m tests.support.floods NAME URL` attacks until it is ended, with low priority, as if on another machine.
"""

import asyncio
import base64
import itertools
import json
import os
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from subprocess import DEVNULL, Popen
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Attack = Callable[[str], Awaitable[None]]

_LETTERS = "abcdefghijklmnoprstuvw "


async def _flood(url: str, messages: list[str | bytes], pause: float, *, audio: bytes = b"") -> None:
    """Send the messages again and again on one live stream, and read what comes."""
    async with connect(f"{url.replace('http', 'ws', 1)}/v1/stream?language=en", max_queue=None) as socket:
        reading = asyncio.create_task(_drop(socket))
        try:
            await socket.send(audio)
            for number in itertools.count():
                await socket.send(messages[number % len(messages)])
                if pause or number % 100 == 0:
                    await asyncio.sleep(pause)
        finally:
            reading.cancel()


async def _drop(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


async def commits(url: str) -> None:
    """400 commits per second, each with a frame of audio."""
    await _flood(url, [bytes(2560), '{"type": "commit"}'], 1 / 800, audio=bytes(32_000))


async def commits_without_audio(url: str) -> None:
    """As many commits as possible, without audio."""
    await _flood(url, ['{"type": "commit"}'], 0, audio=bytes(32_000))


async def languages(url: str) -> None:
    """As many changes of the language as possible."""
    await _flood(url, [json.dumps({"type": "language", "language": each}) for each in ("de", "en", "fr")], 0)


async def fragments(url: str) -> None:
    """A message of endless empty fragments; again when the connection is closed."""
    await _raw(url, b"\x02\x80\0\0\0\0", b"\x00\x80\0\0\0\0" * 10_000)


async def pings(url: str) -> None:
    """Pings of 125 bytes whose answers are never read."""
    await _raw(url, b"", (b"\x89\xfd\0\0\0\0" + bytes(125)) * 1000)


async def _raw(url: str, first: bytes, repeated: bytes) -> None:
    parts = urlsplit(url)
    while True:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET /v1/stream?language=en HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
        writer.write(
            f"{head}Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(first)
            while True:
                writer.write(repeated)
                await writer.drain()
        await asyncio.sleep(0.01)


async def phrases(url: str) -> None:
    """Eight sockets that open streams with as many long phrases as are accepted, always others."""
    await asyncio.gather(*(_phrases(url, random.Random(number)) for number in range(8)))


async def _phrases(url: str, chosen: random.Random) -> None:
    for number in itertools.count():
        count = 1000 if number % 8 == 0 else 100  # the first are refused
        texts = ["".join(chosen.choices(_LETTERS, k=199)) for _ in range(count)]
        with suppress(ConnectionClosed, OSError):
            async with connect(f"{url.replace('http', 'ws', 1)}/v1/stream") as socket:
                await socket.send(json.dumps({"type": "start", "phrases": texts}))
                await socket.recv()


async def formats(url: str) -> None:
    """Four clients that want subtitles of bodies of 7 MB, and of a word of 19 MB."""
    word = {"text": "a" * 450, "start": 0.0, "end": 1.0}
    segment = {"text": " ".join(["a" * 450] * 40), "start": 0.0, "end": 9.0, "words": [word] * 40}
    long = json.dumps({"segments": [segment] * 180}).encode()
    wide = json.dumps({"segments": [{**segment, "words": [{**word, "text": "a" * 19_000_000}]}]}).encode()
    await asyncio.gather(*(_post(url, "/v1/formats/srt", body) for body in (long, long, long, wide)))


async def _post(url: str, path: str, body: bytes, sent: int | None = None) -> None:
    parts = urlsplit(url)
    head = f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n\r\n"
    while True:
        with suppress(OSError, EOFError):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(head.encode() + body[:sent])
            await writer.drain()
            await reader.read()
            writer.close()
        await asyncio.sleep(0.01)


async def bodies(url: str) -> None:
    """60 bodies of 8 MB that stop before their end."""
    body = b" " * 7_999_999
    await asyncio.gather(*(_post(url, "/v1/formats/srt", body, len(body) - 1) for _ in range(60)))


ATTACKS: dict[str, Attack] = {
    each.__name__: each
    for each in (commits, commits_without_audio, languages, fragments, pings, phrases, formats, bodies)
}


@contextmanager
def attacked(name: str, url: str) -> Iterator[None]:
    """Attack a server from another process during the block."""
    process = Popen([sys.executable, "-m", "tests.support.floods", name, url], stderr=DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def _attack(name: str, url: str) -> None:
    while True:  # begin again when the server closes the connection
        with suppress(Exception):
            await ATTACKS[name](url)
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    os.nice(10)
    asyncio.run(_attack(sys.argv[1], sys.argv[2]))
