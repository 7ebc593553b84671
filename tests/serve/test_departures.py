"""Clients that leave at any moment, also while they are sent something: the log has no error and no traceback."""

import asyncio
import base64
import json
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from wyoming.ping import Pong

from legato.serve.errors import ClientLeftError
from legato.serve.settings import Settings
from legato.serve.wyoming.connection import WyomingConnection
from tests.support.live import clip, pcm, pieces, wait_for
from tests.support.paths import SAMPLES
from tests.support.server import Server

RAW = "encoding=linear16&sample_rate=16000"
LEAVING = ("in the middle", "at once", "during the answer", "half")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("left"), "--wyoming-port", 0) as running:
        yield running


def post(path: str, kind: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def form(path: str, **fields: str) -> bytes:
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    file = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + (SAMPLES / "en.flac").read_bytes()
    body = b"".join(b"--B\r\n" + part + b"\r\n" for part in [*parts, file]) + b"--B--\r\n"
    return post(path, "multipart/form-data; boundary=B", body)


def upgrade(path: str, *messages: bytes | dict[str, Any]) -> bytes:
    head = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    frames = [
        Frame(Opcode.BINARY, each) if isinstance(each, bytes) else Frame(Opcode.TEXT, json.dumps(each).encode())
        for each in messages
    ]
    return head.encode() + b"".join(each.serialize(mask=True) for each in frames)


def wyoming(kind: str, payload: bytes = b"", **data: Any) -> bytes:
    line, encoded = {"type": kind, "version": "1.5.2"}, json.dumps(data).encode()
    return (
        json.dumps({**line, "data_length": len(encoded), "payload_length": len(payload)}).encode()
        + b"\n"
        + (encoded + payload)
    )


SPEECH = pcm(clip("en"))
SOUND: dict[str, Any] = {"rate": 16000, "width": 2, "channels": 1}
SEGMENTS = [{"text": "one two three", "start": number, "end": number + 1} for number in range(20_000)]
APPENDED = {"type": "input_audio_buffer.append", "audio": base64.b64encode(SPEECH).decode()}
CLIENTS = {
    "form": form("/v1/audio/transcriptions", model="whisper-1"),
    "events": form("/v1/audio/transcriptions", model="whisper-1", stream="true"),
    "native file": form("/v1/stream"),
    "body": post("/v1/listen", "audio/flac", (SAMPLES / "en.flac").read_bytes()),
    "long answer": post("/v1/formats/srt", "application/json", json.dumps({"segments": SEGMENTS}).encode()),
    "page": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "native": upgrade("/v1/stream", SPEECH, *[{"type": "commit"}] * 30, *[{"type": "odd"}] * 5, {"type": "end"}),
    "container": upgrade("/v1/listen", (SAMPLES / "en.flac").read_bytes()),
    "deepgram": upgrade(f"/v1/listen?{RAW}&interim_results=true", SPEECH, *[{"type": "Finalize"}] * 20),
    "flux": upgrade(f"/v2/listen?model=flux-general-multi&{RAW}", SPEECH, {"type": "CloseStream"}),
    "realtime": upgrade("/v1/realtime", APPENDED, {"type": "input_audio_buffer.commit"}, *[{"type": "odd"}] * 10),
    "refused": upgrade("/v1/listen?encoding=odd"),
    "wyoming": b"".join((
        wyoming("audio-start", **SOUND),
        *(wyoming("audio-chunk", part, **SOUND) for part in pieces(SPEECH)), wyoming("audio-stop"),
    )),
}  # fmt: skip


def visit(server: Server, name: str, leaving: str) -> None:
    port = server.wyoming_port if name == "wyoming" else server.port
    data = CLIENTS[name]
    with socket.create_connection(("127.0.0.1", port), 60) as client, suppress(OSError):
        client.sendall(data[: len(data) // 2] if leaving == "in the middle" else data)
        if leaving == "during the answer":
            client.recv(200)
        if leaving == "half":
            client.shutdown(socket.SHUT_WR)
            client.recv(1)
        else:  # a reset, as of a client that was killed
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_departures_leave_no_traceback_in_the_log(left: Server) -> None:
    visits = [(name, leaving) for name in CLIENTS for leaving in LEAVING]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: visit(left, *each), visits))
    for interface in ("native", "deepgram", "flux", "realtime", "wyoming"):
        wait_for(left, f'legato_streams{{interface="{interface}"}}', 0)
    assert left.stop() == 0
    assert [line for line in left.lines if not line.startswith("{")] == []
    assert [each for each in left.logs() if each["level"] != "info" or "traceback" in each] == []


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_nothing_is_written_to_a_wyoming_client_that_has_left(loop: str) -> None:
    if find_spec(loop) is None:
        pytest.skip("uvloop is not installed")

    async def run() -> None:
        answered = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = WyomingConnection(reader, writer, Settings())
            writer.transport.abort()
            await asyncio.sleep(0)
            with pytest.raises(ClientLeftError):
                await connection.send(Pong("late"))
            answered.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            await asyncio.wait_for(answered.wait(), 60)
            writer.close()

    with asyncio.Runner(loop_factory=import_module(loop).new_event_loop) as runner:
        runner.run(run())
