"""What clients do wrong, on both sockets, and what becomes of them and of the others."""

import asyncio
import base64
import json
import random
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as connect_plainly
from websockets.sync.connection import Connection

from legato.audio.pcm import AudioFormat
from legato.recognizer import Recognizer
from tests.support.live import LANGUAGES, clip, metric, pcm, pieces, recognized, wait_for
from tests.support.server import Server

REALTIME = "/v1/realtime?intent=transcription"
LISTEN = "/v1/listen?encoding=linear16&sample_rate=16000&endpointing=false"
PATHS = {"realtime": REALTIME, "deepgram": LISTEN}
MANUAL = {"type": "audio/pcm", "rate": 16000}
Talk = Callable[[Any, list[bytes]], Awaitable[str]]

bounded = settings(max_examples=25)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives up soon."""
    with Server(tmp_path_factory.mktemp("hasty"), "--idle-seconds", 3) as running:
        yield running


def configure(language: str = "auto") -> str:
    given = {"format": MANUAL, "turn_detection": None, "transcription": {"language": language}}
    return json.dumps({"type": "session.update", "session": {"audio": {"input": given}}})


def append(data: bytes) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(data).decode()})


def message(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def streams(server: Server, interface: str) -> float:
    return metric(server, f'legato_streams{{interface="{interface}"}}')


def gone(server: Server, interface: str) -> None:
    """Wait until no client of an interface holds a place."""
    wait_for(server, f'legato_streams{{interface="{interface}"}}', 0)


def unharmed(server: Server) -> None:
    assert server.process.poll() is None
    assert httpx.get(server.url + "/health").status_code == 200
    assert not [each for each in server.logs() if each["level"] == "error"]


async def talk_realtime(connection: Any, parts: list[bytes]) -> str:
    """Send audio, in slices that let others come in between, and give the text."""
    for part in parts:
        await connection.send(append(part))
        await asyncio.sleep(random.random() / 1000)
    await connection.send(message("input_audio_buffer.commit"))
    async for text in connection:
        event = json.loads(text)
        assert event["type"] != "error", event
        if event["type"].endswith("completed"):
            return str(event["transcript"])
    raise AssertionError("no answer")


async def talk_deepgram(connection: Any, parts: list[bytes]) -> str:
    for part in parts:
        await connection.send(part)
        await asyncio.sleep(random.random() / 1000)
    await connection.send(message("CloseStream"))
    events = [json.loads(text) async for text in connection]
    assert events[-1]["type"] == "Metadata"
    found = [each["channel"]["alternatives"][0]["transcript"] for each in events if each.get("is_final")]
    return " ".join(found)


def test_nobody_gets_the_text_of_another(server: Server, recognizer: Recognizer) -> None:
    """Eighteen streams at a time, of three kinds of pieces, every second of another interface."""
    cases = [(n, LANGUAGES[n % len(LANGUAGES)], 1280 * (1 + n % 3)) for n in range(18)]
    expected = {
        (language, size): recognized(recognizer, pieces(pcm(clip(language)), size), AudioFormat(), language)
        for language, size in {(language, size) for _, language, size in cases}
    }
    assert len(set(expected.values())) == len(LANGUAGES)

    async def one(connection: Any, number: int, language: str, size: int) -> str:
        if number % 2:
            await connection.send(configure(language))
        talk: Talk = talk_realtime if number % 2 else talk_deepgram
        return await talk(connection, pieces(pcm(clip(language)), size))

    async def all_at_once() -> list[str]:
        async with asyncio.timeout(100), AsyncExitStack() as stack:
            paths = [REALTIME if n % 2 else f"{LISTEN}&language={language}" for n, language, _ in cases]
            opened = [await stack.enter_async_context(connect(server.socket_url + path)) for path in paths]
            return await asyncio.gather(*(one(each, *case) for each, case in zip(opened, cases, strict=True)))

    found = asyncio.run(all_at_once())
    assert found == [expected[language, size] for _, language, size in cases]


@pytest.mark.parametrize("interface", PATHS)
def test_a_client_that_leaves_in_mid_word_leaves_its_place(server: Server, interface: str) -> None:
    data = pcm(clip("en"))[:40_000]
    for how in ("closes", "is gone"):
        with suppress(ConnectionClosed), connect_plainly(server.socket_url + PATHS[interface]) as connection:
            connection.send(append(data) if interface == "realtime" else data)
            wait_for(server, f'legato_streams{{interface="{interface}"}}', 1)
            if how == "is gone":
                connection.socket.shutdown(socket.SHUT_RDWR)
        gone(server, interface)
    unharmed(server)


@pytest.mark.parametrize("interface", PATHS)
def test_a_client_that_falls_silent_is_given_up(hasty: Server, interface: str) -> None:
    """Its socket is open, and nothing comes from it, not even an answer to a close."""
    plain = socket.create_connection(("127.0.0.1", hasty.port))
    with plain:
        plain.sendall(
            f"GET {PATHS[interface]} HTTP/1.1\r\nHost: 127.0.0.1:{hasty.port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            .encode()
        )  # fmt: skip
        plain.settimeout(60)
        received = b""
        while b"idle" not in received:  # the reason of the close
            received += plain.recv(65536)
        assert b"\x03\xe8idle" in received  # 1000, a normal close
        assert b'"error"' not in received.lower()
        gone(hasty, interface)
    unharmed(hasty)


@pytest.mark.parametrize("interface", PATHS)
def test_a_client_that_does_not_read_is_given_up(hasty: Server, interface: str) -> None:
    """It sends what must be answered, as fast as it can; what waits for it takes little memory."""
    before = memory(hasty)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect(("127.0.0.1", hasty.port))
    connection = connect_plainly(
        hasty.socket_url + PATHS[interface], sock=plain, max_queue=1, close_timeout=0.1, compression=None
    )
    stop = threading.Event()

    def send() -> None:
        with suppress(ConnectionClosed, OSError):
            while not stop.is_set():
                connection.send(message("nonsense", event_id="x" * 500))

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    gone(hasty, interface)
    assert memory(hasty) - before < 64e6
    [closed] = hasty.wait_for_logs("stream closed", interface, "slow_reader")
    assert closed["reason"] == "slow_reader"
    stop.set()
    plain.shutdown(socket.SHUT_RDWR)
    sender.join(60)
    unharmed(hasty)


def memory(server: Server) -> float:
    """Bytes of memory that it holds."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024


@pytest.mark.parametrize("interface", PATHS)
def test_a_message_that_is_too_large_ends_its_connection(server: Server, interface: str) -> None:
    for large in (b"x" * 24_000_001, "x" * 24_000_001, "[" * 900_000):
        with connect_plainly(server.socket_url + PATHS[interface]) as connection:
            if len(large) > 1_000_000:
                # The close frame is lost if the system resets the connection while the client still sends.
                with pytest.raises(ConnectionClosed, match=r"1009|no close frame"):
                    connection.send(large)
                    while True:
                        connection.recv(60)
            else:
                connection.send(large)
                while "error" not in str(connection.recv(60)).lower():
                    pass
    gone(server, interface)
    unharmed(server)


def test_past_the_limit_new_streams_are_refused_and_running_ones_unharmed(
    tmp_path: Path, recognizer: Recognizer
) -> None:
    parts = pieces(pcm(clip("en")))
    with Server(tmp_path, "--max-streams", 2) as server:

        async def converse() -> list[str]:
            async with asyncio.timeout(100):
                first = await connect(server.socket_url + REALTIME)
                await first.send(configure("en"))
                second = await connect(server.socket_url + LISTEN + "&language=en")
                for connection in (first, second):
                    half = parts[: len(parts) // 2]
                    for part in half:
                        await connection.send(append(part) if connection is first else part)
                for path in (REALTIME, LISTEN, LISTEN + "&channels=2&multichannel=true"):
                    with pytest.raises(InvalidStatus) as caught:
                        await connect(server.socket_url + path)
                    assert caught.value.response.status_code == 503
                    assert int(caught.value.response.headers["retry-after"]) > 0
                rest = parts[len(parts) // 2 :]
                texts = await asyncio.gather(talk_realtime(first, rest), talk_deepgram(second, rest))
                await first.close()
                await asyncio.to_thread(gone, server, "realtime")
                await asyncio.to_thread(gone, server, "deepgram")
                async with connect(server.socket_url + LISTEN + "&language=en") as third:
                    return [*texts, await talk_deepgram(third, parts)]

        assert asyncio.run(converse()) == [recognized(recognizer, parts, AudioFormat(), "en")] * 3
        refused = [metric(server, f'legato_refused_total{{interface="{n}",reason="server_busy"}}') for n in PATHS]
        assert refused == [1, 2]
        unharmed(server)


def test_sigterm_sends_what_is_not_told_yet(tmp_path: Path, recognizer: Recognizer) -> None:
    parts = pieces(pcm(clip("de"))[:50_000])
    seconds = sum(map(len, parts)) / 32000
    with Server(tmp_path) as server:
        with (
            connect_plainly(server.socket_url + REALTIME) as first,
            connect_plainly(server.socket_url + LISTEN + "&language=de") as second,
        ):
            first.send(configure("de"))
            for part in parts:
                first.send(append(part))
                second.send(part)
            for interface in PATHS:
                wait_for(server, f'legato_audio_seconds_total{{interface="{interface}"}}', round(seconds, 4))
            server.process.send_signal(signal.SIGTERM)
            told = everything(first)
            assert told[-1]["type"] == "conversation.item.input_audio_transcription.completed"
            expected = recognized(recognizer, parts, AudioFormat(), "de")
            assert told[-1]["transcript"] == expected
            *results, metadata = everything(second)
            finals = [each["channel"]["alternatives"][0]["transcript"] for each in results if each["is_final"]]
            assert (" ".join(finals), metadata["type"]) == (expected, "Metadata")
            assert [each.close_code for each in (first, second)] == [1001, 1001]
        assert server.process.wait(60) == 0


def everything(connection: Connection) -> list[dict[str, Any]]:
    """All messages until the server closes."""
    found = []
    with suppress(ConnectionClosed):
        while True:
            found.append(json.loads(connection.recv(60)))
    return found


def test_a_stream_may_not_be_longer_than_is_served(tmp_path: Path, recognizer: Recognizer) -> None:
    """The audio up to there is recognized all the same."""
    parts = pieces(pcm(clip("en")), 3200)
    fitting = parts[:15]
    with Server(tmp_path, "--max-stream-minutes", 0.025) as server:  # 1.5 s
        with connect_plainly(server.socket_url + LISTEN + "&language=en") as connection:
            for part in parts:
                connection.send(part)
            *results, metadata, error = everything(connection)
            assert connection.close_code == 1009
        assert (metadata["type"], error["type"], error["variant"]) == ("Metadata", "Error", "too_long")
        assert results[-1]["channel"]["alternatives"][0]["transcript"] == recognized(
            recognizer, fitting, AudioFormat(), "en"
        )
        with connect_plainly(server.socket_url + REALTIME) as connection:
            connection.send(configure("en"))
            for part in parts:
                connection.send(append(part))
            *_, completed, error = everything(connection)
        assert completed["transcript"] == recognized(recognizer, fitting, AudioFormat(), "en")
        assert error["error"]["code"] == "too_long"


# Any order of messages


speech_pieces = st.integers(0, 5000).map(lambda n: pcm(clip("en"))[20_000 : 20_000 + n])
realtime_steps = st.lists(
    st.one_of(speech_pieces, st.sampled_from(["commit", "clear", "update", "nonsense"])), max_size=14
)


@bounded
@given(steps=realtime_steps, detect=st.booleans())
def test_every_commit_and_clear_is_answered(server: Server, steps: list[bytes | str], detect: bool) -> None:
    with connect_plainly(server.socket_url + REALTIME) as connection:
        if not detect:
            connection.send(configure())
        fresh = False
        commits, empty, clears = 0, 0, 1
        for step in steps:
            if isinstance(step, bytes):
                connection.send(append(step))
                fresh |= len(step) > 0
            elif step == "update":
                connection.send(configure())
            elif step == "nonsense":
                connection.send(message("nonsense"))
            else:
                connection.send(message(f"input_audio_buffer.{step}"))
                commits += step == "commit" and fresh
                empty += step == "commit" and not fresh
                clears += step == "clear"
                fresh = False
        connection.send(message("input_audio_buffer.clear", event_id="last"))
        found: list[dict[str, Any]] = []
        while sum(event["type"] == "input_audio_buffer.cleared" for event in found) < clears:
            found.append(json.loads(connection.recv(60)))
    committed = [event["item_id"] for event in found if event["type"] == "input_audio_buffer.committed"]
    completed = [event["item_id"] for event in found if event["type"].endswith("transcription.completed")]
    assert completed == committed
    assert len(set(committed)) == len(committed)
    # Turns that the server ended come on top.
    assert len(committed) >= commits if detect else len(committed) == commits
    codes = [event["error"]["code"] for event in found if event["type"] == "error"]
    assert codes.count("input_audio_buffer_commit_empty") == empty
    assert codes.count("unknown_event") == steps.count("nonsense")


@bounded
@given(
    steps=st.lists(st.one_of(speech_pieces.filter(bool), st.sampled_from(["Finalize", "KeepAlive", "x"])), max_size=14),
    query=st.sampled_from(["", "&endpointing=300", "&interim_results=true&utterance_end_ms=1000"]),
)
def test_every_finalize_is_answered(server: Server, steps: list[bytes | str], query: str) -> None:
    with connect_plainly(server.socket_url + LISTEN.replace("&endpointing=false", query)) as connection:
        for step in steps:
            connection.send(step if isinstance(step, bytes) else message(step))
        connection.send(message("CloseStream"))
        found = everything(connection)
    assert found[-1]["type"] == "Metadata"
    assert sum(each.get("from_finalize", False) for each in found) == steps.count("Finalize")
    assert sum(each["type"] == "Error" for each in found) == steps.count("x")
    seconds = sum(len(step) // 2 for step in steps if isinstance(step, bytes)) / 16000
    assert found[-1]["duration"] == pytest.approx(seconds, abs=0.002)


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
SESSION_NAMES = (
    "audio input format transcription turn_detection type rate language prompt keywords model eagerness threshold "
    "silence_duration_ms input_audio_format input_audio_transcription"
)
session_names = st.sampled_from(SESSION_NAMES.split())
sessions = st.recursive(
    anything | st.sampled_from(["audio/pcm", "server_vad", "semantic_vad", "en", 16000, 24000]),
    lambda inner: st.dictionaries(session_names, inner, max_size=4),
    max_leaves=8,
)
realtime_messages = st.builds(
    lambda kind, fields: json.dumps({"type": kind, **fields}),
    st.sampled_from(
        ["session.update", "transcription_session.update", "input_audio_buffer.append", "input_audio_buffer.commit"]
    )
    | anything,
    st.fixed_dictionaries({}, optional={"session": sessions, "audio": anything | st.text(), "event_id": anything}),
)
garbage = st.text(max_size=50) | st.binary(max_size=300) | anything.map(json.dumps)


@bounded
@given(messages=st.lists(realtime_messages | garbage, max_size=12))
def test_garbage_does_no_harm_to_realtime(server: Server, messages: list[str | bytes]) -> None:
    with connect_plainly(server.socket_url + REALTIME) as connection:
        for each in messages:
            connection.send(each)
        connection.send(message("input_audio_buffer.clear"))
        kinds: list[str] = []
        while not kinds or kinds[-1] != "input_audio_buffer.cleared":
            kinds.append(json.loads(connection.recv(60))["type"])
    unharmed(server)


listen_messages = st.builds(
    lambda kind, fields: json.dumps({"type": kind, **fields}),
    st.sampled_from(["Finalize", "KeepAlive", "Configure"]) | anything.filter(lambda kind: kind != "CloseStream"),
    st.fixed_dictionaries({}, optional={"channel": anything, "keyterms": anything, "features": anything}),
)


@bounded
@given(messages=st.lists((listen_messages | garbage).filter(bool), max_size=12))
def test_garbage_does_no_harm_to_deepgram(server: Server, messages: list[str | bytes]) -> None:
    with connect_plainly(server.socket_url + LISTEN) as connection:
        for each in messages:
            connection.send(each)
        connection.send(message("CloseStream"))
        found = everything(connection)
        assert found[-1]["type"] == "Metadata"
        assert connection.close_code == 1000
    unharmed(server)


@bounded
@given(query=st.dictionaries(
    st.sampled_from(["encoding", "sample_rate", "channels", "multichannel", "language", "endpointing", "keyterm"]),
    st.sampled_from(["linear16", "mulaw", "8000", "16000", "2", "true", "false", "en", "-1", "1e9", "inf", ""])
    | st.text(max_size=8),
))  # fmt: skip
def test_any_query_is_served_or_refused(server: Server, query: dict[str, str]) -> None:
    url = httpx.URL(server.socket_url + "/v1/listen", params=query)
    try:
        with connect_plainly(str(url)) as connection:
            connection.send(message("CloseStream"))
            assert everything(connection)[-1]["type"] == "Metadata"
    except InvalidStatus as error:
        assert error.response.status_code == 400
        assert json.loads(error.response.body)["err_msg"]
    unharmed(server)
