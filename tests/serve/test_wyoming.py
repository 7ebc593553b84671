"""Wyoming: the protocol's own client against a running server."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import numpy as np
import pytest
import soxr
from wyoming.asr import Transcribe, Transcript, TranscriptChunk
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong

import legato
from legato.audio.source import Samples, read_audio
from tests.support.command import failed
from tests.support.command import legato as run_legato
from tests.support.live import alike
from tests.support.paths import SAMPLES
from tests.support.server import Server

LANGUAGES = ("de", "en", "es", "fr", "hi", "it")
PIECE = 6400  # bytes: 0.2 s

T = TypeVar("T")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One with Wyoming, and limits that tests can reach."""
    options = ("--wyoming-port", "0", "--max-streams", "8", "--max-message-kb", "100", "--max-stream-minutes", "0.5")
    with Server(tmp_path_factory.mktemp("wyoming"), *options) as running:
        yield running


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    """What the model makes of the clips, by language, when it is asked in Python."""
    recognizer = legato.load("embedded", threads=1)
    found = {name: recognizer.transcribe(clip(name), language=name).text for name in LANGUAGES}
    assert all(found.values())
    return found


def clip(language: str) -> Samples:
    return read_audio(SAMPLES / f"{language}.flac")


def pcm16(language: str) -> bytes:
    return (clip(language) * 32767).astype("<i2").tobytes()


def pieces(audio: bytes, rate: int = 16000, width: int = 2, channels: int = 1) -> Iterator[Event]:
    size = PIECE // (width * channels) * width * channels
    for start in range(0, len(audio), size):
        yield AudioChunk(rate, width, channels, audio[start : start + size]).event()


def talk(server: Server, conversation: Callable[[AsyncTcpClient], Awaitable[T]]) -> T:
    """Connect, and talk for 300 s at most."""

    async def connected() -> T:
        async with asyncio.timeout(300), AsyncTcpClient("127.0.0.1", server.wyoming_port) as client:
            return await conversation(client)

    return asyncio.run(connected())


async def receive(client: AsyncTcpClient) -> Event:
    event = await client.read_event()
    assert event is not None, "the server closed the connection"
    return event


async def answer(client: AsyncTcpClient) -> tuple[str, list[str]]:
    """The next transcript's text, and the chunks that told it before; checks the order of events."""
    assert (await receive(client)).type == "transcript-start"
    told = []
    while TranscriptChunk.is_type((event := await receive(client)).type):
        told.append(TranscriptChunk.from_event(event).text)
    assert Transcript.is_type(event.type), event
    assert (await receive(client)).type == "transcript-stop"
    return Transcript.from_event(event).text, told


async def refusal(client: AsyncTcpClient) -> str | None:
    """The code of the error that comes next, behind which the connection is closed."""
    while not Error.is_type((event := await receive(client)).type):
        assert event.type.startswith("transcript-"), event
    assert await client.read_event() is None
    return Error.from_event(event).code


async def ask(client: AsyncTcpClient, language: str, audio: bytes | None = None) -> tuple[str, list[str]]:
    """Transcribe as Home Assistant does: everything is sent, then the answer read."""
    await client.write_event(Transcribe(language=language).event())
    await client.write_event(AudioStart(16000, 2, 1).event())
    for event in pieces(pcm16(language) if audio is None else audio):
        await client.write_event(event)
    await client.write_event(AudioStop().event())
    return await answer(client)


def open_streams(server: Server) -> float:
    text = httpx.get(f"{server.url}/metrics").text
    found = [line for line in text.splitlines() if line.startswith('legato_streams{interface="wyoming"}')]
    return float(found[0].split()[-1]) if found else 0.0


def test_it_says_what_it_can(server: Server) -> None:
    async def conversation(client: AsyncTcpClient) -> Info:
        await client.write_event(Describe().event())
        return Info.from_event(await receive(client))

    (program,) = talk(server, conversation).asr
    (model,) = program.models
    assert program.installed
    assert program.supports_transcript_streaming
    assert model.name == "embedded"
    assert {"en-US", "de-DE", "hi-IN"} <= set(model.languages)
    assert "auto" not in model.languages


def test_one_after_the_other_on_a_connection(server: Server, expected: dict[str, str]) -> None:
    async def conversation(client: AsyncTcpClient) -> None:
        for language in ("de", "it"):
            text, told = await ask(client, language)
            assert text == "".join(told) == expected[language]
            assert len(told) > 1
            await client.write_event(Ping("still there?").event())
            assert Pong.from_event(await receive(client)).text == "still there?"
            await client.write_event(Event("detect", {"names": ["computer"]}))  # not for us
        assert await ask(client, "en", b"") == ("", [])

    talk(server, conversation)


@pytest.mark.parametrize(("rate", "width", "channels"), [(48000, 4, 2), (44100, 3, 1), (22050, 2, 3), (16000, 1, 1)])
def test_audio_of_any_form(server: Server, expected: dict[str, str], rate: int, width: int, channels: int) -> None:
    resampled = soxr.resample(clip("es"), 16000, rate, quality="VHQ")
    numbers = np.round(np.clip(resampled, -1, 1) * (2 ** (8 * width - 1) - 256 ** (width - 1))).astype("<i8")
    audio = np.repeat(numbers.view(np.uint8).reshape(-1, 1, 8)[..., :width], channels, axis=1).tobytes()

    async def conversation(client: AsyncTcpClient) -> str:
        await client.write_event(Transcribe(language="es").event())
        await client.write_event(AudioStart(rate, width, channels).event())
        for event in pieces(audio, rate, width, channels):
            await client.write_event(event)
        await client.write_event(AudioStop().event())
        return (await answer(client))[0]

    assert alike(talk(server, conversation), expected["es"])


def test_many_at_a_time_get_their_own_text(server: Server, expected: dict[str, str]) -> None:
    async def all_of_them() -> None:
        async with asyncio.timeout(300):
            clients = [AsyncTcpClient("127.0.0.1", server.wyoming_port) for _ in LANGUAGES]
            for client, language in zip(clients, LANGUAGES, strict=True):
                await client.connect()
                await client.write_event(Transcribe(language=language).event())
            parts = [list(pieces(pcm16(language))) for language in LANGUAGES]
            for number in range(max(map(len, parts))):  # a piece of each in turn
                for client, part in zip(clients, parts, strict=True):
                    if number < len(part):
                        await client.write_event(part[number])
            for client in clients:
                await client.write_event(AudioStop().event())
            for client, language in zip(clients, LANGUAGES, strict=True):
                text, told = await answer(client)
                assert text == "".join(told) == expected[language]
                await client.disconnect()

    asyncio.run(all_of_them())


def test_names_of_the_house_are_phrases_as_far_as_they_can_be_written(server: Server, expected: dict[str, str]) -> None:
    async def conversation(client: AsyncTcpClient) -> str:
        names = ["laciencia", "Wohnzimmer 東", "", "x" * 1000]
        event = Transcribe(language="es", name="whatever").event()
        event.data |= {"transcript_names": [*names, 7], "transcript_terms": "no list", "vad_sensitivity": {}}
        await client.write_event(event)
        for each in pieces(pcm16("es")):  # without 'audio-start'
            await client.write_event(each)
        await client.write_event(AudioStop().event())
        return (await answer(client))[0]

    assert "laciencia" not in expected["es"]
    assert "laciencia" in talk(server, conversation)


def test_events_in_a_wrong_order(server: Server) -> None:
    start = AudioStart(16000, 2, 1).event()

    async def stop_first(client: AsyncTcpClient) -> None:
        await client.write_event(AudioStop().event())
        assert await answer(client) == ("", [])

    async def start_twice(client: AsyncTcpClient) -> None:
        for event in (start, start):
            await client.write_event(event)
        assert await refusal(client) == "invalid_order"

    async def another_form(client: AsyncTcpClient) -> None:
        for event in (start, AudioChunk(8000, 2, 1, bytes(100)).event()):
            await client.write_event(event)
        assert await refusal(client) == "invalid_audio"

    for conversation in (stop_first, start_twice, another_form):
        talk(server, conversation)


def test_what_cannot_be_done_is_told(server: Server) -> None:
    async def unknown_language(client: AsyncTcpClient) -> str | None:
        await client.write_event(Transcribe(language="tlh").event())
        await client.write_event(AudioStart(16000, 2, 1).event())
        return await refusal(client)

    async def too_long(client: AsyncTcpClient) -> str | None:
        for event in pieces(bytes(16000 * 2 * 31)):
            await client.write_event(event)
        return await refusal(client)

    assert talk(server, unknown_language) == "invalid_value"
    assert talk(server, too_long) == "too_long"


def test_a_client_that_goes_on_sending_learns_why_it_was_refused(server: Server) -> None:
    async def conversation(client: AsyncTcpClient) -> Error:
        await client.write_event(Transcribe(language="klingon").event())
        await client.write_event(AudioStart(16000, 2, 1).event())
        for piece in pieces(bytes(20 * PIECE)):
            await client.write_event(piece)
            await asyncio.sleep(0.005)
        event = await client.read_event()
        assert event is not None
        return Error.from_event(event)

    assert "Unknown language 'klingon'" in talk(server, conversation).text


def test_no_more_streams_than_there_may_be(server: Server, expected: dict[str, str]) -> None:
    async def conversation(client: AsyncTcpClient) -> None:
        others = [AsyncTcpClient("127.0.0.1", server.wyoming_port) for _ in range(9)]
        for other in others:
            await other.connect()
        for other in others[:8]:
            await other.write_event(Transcribe(language="fr").event())
            await other.write_event(AudioStart(16000, 2, 1).event())
            assert (await receive(other)).type == "transcript-start"
        await others[8].write_event(AudioStart(16000, 2, 1).event())
        assert await refusal(others[8]) == "server_busy"
        for event in (*pieces(pcm16("fr")), AudioStop().event()):
            await others[0].write_event(event)
        while not Transcript.is_type((event := await receive(others[0])).type):
            pass
        assert Transcript.from_event(event).text == expected["fr"]
        assert (await receive(others[0])).type == "transcript-stop"
        for other in others[1:8]:  # in mid-audio
            await other.write_event(next(pieces(pcm16("fr"))))
            await other.disconnect()
        while open_streams(server):  # each place is free again
            await asyncio.sleep(0.05)
        assert (await ask(client, "fr"))[0] == expected["fr"]

    talk(server, conversation)


GARBAGE = [
    b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    bytes(range(256)) * 20 + b"\n",
    b"x" * 200_000,
    b"[]\n",
    b'"audio-start"\n',
    b"[" * 50_000 + b"\n",
    b'{"data": {}}\n',
    b'{"type": 5}\n',
    b'{"type": "ping", "data": 5}\n',
    b'{"type": "ping", "data_length": -1}\n',
    b'{"type": "ping", "data_length": 1e3}\n',
    b'{"type": "ping", "data_length": true}\n',
    b'{"type": "ping", "data_length": ' + b"9" * 5000 + b"}\n",
    b'{"type": "ping", "data_length": 2}\n[]',
    b'{"type": "ping", "data_length": 5}\n\xff\xfe\xfd\xfc\xfb',
    b'{"type": "audio-chunk", "payload_length": 1000000000000}\n',
    b'{"type": "audio-chunk", "payload_length": 4}\n1234',
    b'{"type": "audio-start", "data": {"rate": 16000, "width": 2}}\n',
    b'{"type": "audio-start", "data": {"rate": 16000, "width": 5, "channels": 1}}\n',
    b'{"type": "audio-start", "data": {"rate": 0, "width": 2, "channels": 1}}\n',
    b'{"type": "audio-start", "data": {"rate": 16000, "width": 2, "channels": 1000000}}\n',
    b'{"type": "audio-start", "data": {"rate": "16000", "width": 2, "channels": true}}\n',
]


def test_garbage_is_refused_and_harms_nobody(server: Server, expected: dict[str, str]) -> None:
    for data in GARBAGE:
        with socket.create_connection(("127.0.0.1", server.wyoming_port), timeout=60) as connection:
            connection.sendall(data)
            said, reset = b"", False
            try:
                while piece := connection.recv(65536):
                    said += piece
            except ConnectionResetError:  # more was on its way, and the answer is lost
                reset = True
        assert b'"type": "error"' in said or (reset and not said), data
    for data in (b'{"type": "describe"', b'{"type": "audio-chunk", "payload_length": 1000}\nxyz'):  # cut off
        with socket.create_connection(("127.0.0.1", server.wyoming_port), timeout=60) as connection:
            connection.sendall(data)
    assert talk(server, lambda client: ask(client, "es"))[0] == expected["es"]
    assert not [each for each in server.logs() if each["level"] == "error"]


def test_a_client_that_sends_nothing_is_given_up(tmp_path: Path) -> None:
    with (
        Server(tmp_path, "--wyoming-port", "0", "--idle-seconds", "0.3") as server,
        socket.create_connection(("127.0.0.1", server.wyoming_port), timeout=60) as connection,
    ):
        assert connection.recv(100) == b""  # it is closed, without an error


def test_the_end_comes_with_the_text(tmp_path: Path, expected: dict[str, str]) -> None:
    with Server(tmp_path, "--wyoming-port", "0") as server:

        async def conversation(client: AsyncTcpClient) -> str:
            async with AsyncTcpClient("127.0.0.1", server.wyoming_port) as idle:
                await client.write_event(Transcribe(language="en").event())
                for event in pieces(pcm16("en")):
                    await client.write_event(event)
                while (
                    'legato_audio_seconds_total{interface="wyoming"}'
                    not in (text := httpx.get(f"{server.url}/metrics").text)
                    or received_seconds(text) < len(clip("en")) / 16000 - 0.001
                ):
                    await asyncio.sleep(0.05)
                server.process.send_signal(signal.SIGTERM)
                text, _ = await answer(client)
                assert await client.read_event() is None
                assert await idle.read_event() is None
                return text

        assert talk(server, conversation) == expected["en"]
        assert server.process.wait(60) == 0


def received_seconds(metrics: str) -> float:
    (line,) = (line for line in metrics.splitlines() if line.startswith("legato_audio_seconds_total{"))
    return float(line.split()[-1])


def test_it_is_not_open_to_everybody_by_mistake(tmp_path: Path) -> None:
    options = ("--port", "0", "--wyoming-port", "0", "--wyoming-host", "0.0.0.0", "--model", "embedded")
    message = failed(run_legato("serve", *options, home=tmp_path, LEGATO_API_KEYS="secret"))
    assert "Wyoming has no API keys" in message
