"""What real clients do besides speaking: they are quiet, hint, name languages as they like, and send large messages."""

import asyncio
import base64
import json
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from deepgram import AsyncDeepgramClient
from openai import OpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection
from wyoming.asr import Transcribe, Transcript, TranscriptStart
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe

from legato.audio.pcm import AudioFormat
from legato.recognizer import Recognizer
from legato.serve.core.fields import as_base64
from legato.serve.errors import InvalidValueError
from tests.serve.test_deepgram import client_options, finals, rules, texts
from tests.serve.test_realtime import configuration, connect_options
from tests.support.live import Reference, clip, pcm, pieces, silence
from tests.support.server import Server

RAW = "encoding=linear16&sample_rate=16000"
ODD = ["GPT-4", "Node.js", "Room 42", "\u2603", ""]


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives up dead clients soon, with Wyoming."""
    with Server(tmp_path_factory.mktemp("hasty"), "--idle-seconds", 3, "--wyoming-port", 0) as running:
        yield running


def messages(socket: Any, *, until: str | None = None) -> list[dict[str, Any]]:
    """All messages up to one of a type, or up to the end."""
    found: list[dict[str, Any]] = []
    try:
        while not found or found[-1]["type"] != until:
            found.append(json.loads(socket.recv(300)))
    except ConnectionClosed:
        assert until is None
    return found


PATHS = [f"/v1/listen?{RAW}", f"/v2/listen?{RAW}", "/v1/realtime", "/v1/stream"]


def test_a_quiet_client_is_not_a_dead_one(hasty: Server) -> None:
    """It answers pings, and sends nothing else for longer than the limit; then it speaks."""
    with ExitStack() as stack:
        sockets = {path: stack.enter_context(connect(hasty.socket_url + path)) for path in PATHS}
        time.sleep(5)
        for path, socket in sockets.items():
            speaks(socket, path)


def test_a_client_that_is_read_slowly_is_not_a_dead_one(hasty: Server) -> None:
    """Each sends more frames than its share of the time, so that the server stops reading for longer than the limit."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(hasty.socket_url + PATHS[0])) for _ in range(6)]
        pongs = b"\x8a\x80\0\0\0\0" * 70_000
        for socket in sockets:
            socket.socket.sendall(pongs)
        for socket in sockets:
            speaks(socket, PATHS[0])


def speaks(socket: Connection, path: str) -> None:
    data = pcm(clip("en"), 24000 if "realtime" in path else 16000)
    if "realtime" in path:
        text = base64.b64encode(data).decode()
        socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": text}))
        socket.send('{"type": "input_audio_buffer.commit"}')
        found = messages(socket, until="conversation.item.input_audio_transcription.completed")
    else:
        socket.send(data)
        socket.send('{"type": "end"}' if "stream" in path else '{"type": "CloseStream"}')
        found = messages(socket)
        assert socket.close_code == 1000
    assert not [each for each in found if each["type"].lower() == "error"]
    assert "transcript" in json.dumps(found) or "final" in json.dumps(found)


def test_a_quiet_client_of_wyoming(hasty: Server) -> None:
    async def converse() -> list[str]:
        async with AsyncTcpClient("127.0.0.1", hasty.wyoming_port) as client, asyncio.timeout(300):
            await client.write_event(Describe().event())
            await client.read_event()
            found = []
            for seconds in (4, 0):
                await asyncio.sleep(seconds)
                await client.write_event(Transcribe(language="german").event())
                await client.write_event(AudioStart(16000, 2, 1).event())
                await asyncio.sleep(seconds)
                await client.write_event(AudioChunk(16000, 2, 1, pcm(clip("de"))).event())
                await client.write_event(AudioStop().event())
                while (event := await client.read_event()) is not None and not Transcript.is_type(event.type):
                    if TranscriptStart.is_type(event.type):
                        assert TranscriptStart.from_event(event).language == "de"
                assert event is not None
                found.append(Transcript.from_event(event).text)
            return found

    first, second = asyncio.run(converse())
    assert first == second != ""


def test_hints_never_cost_the_transcript(server: Server, recognizer: Recognizer) -> None:
    data = pcm(clip("en"))
    reference = Reference(recognizer, AudioFormat(), rules(), "en")
    reference.stream.set_phrases(["fredding", "forty"])
    reference.accept(pieces(data))
    reference.finish()
    given = ["fredding", "forty", "\u2603"]
    query = "&".join(f"keyterm={term}" for term in given)
    with connect(f"{server.socket_url}/v1/listen?{RAW}&language=en&{query}") as socket:
        socket.send(data)
        socket.send('{"type": "CloseStream"}')
        *results, metadata = messages(socket)
    assert [each["channel"]["alternatives"][0]["transcript"] for each in results if each["is_final"]] == reference.texts
    [warning] = metadata["warnings"]
    assert "\u2603" in warning
    with connect(server.socket_url + "/v1/stream") as socket:
        socket.send(json.dumps({"type": "start", "language": "en", "endpoint": 0.5, "phrases": given, "later": 1}))
        ready = json.loads(socket.recv(300))
        assert "\u2603" in ready["warnings"][0]
        assert "later" in ready["warnings"][1]
        socket.send(data)
        socket.send('{"type": "end"}')
        assert messages(socket)[-1]["text"] == " ".join(reference.texts)
    with OpenAI(**connect_options(server)).realtime.connect(extra_query={"intent": "transcription"}) as connection:
        created: Any = connection.recv()
        assert created.type == "session.created"
        connection.session.update(
            session=configuration(transcription={"language": "en", "prompt": ", ".join(given)}, turn_detection=None)
        )
        updated: Any = connection.recv()
        assert updated.type == "session.updated"
        assert "\u2603" in updated.warnings[0]


@pytest.mark.parametrize("hint", ODD)
def test_hints_that_real_clients_send(server: Server, hint: str) -> None:
    with connect(server.socket_url + "/v1/stream") as socket:
        socket.send(json.dumps({"type": "start", "phrases": [hint, "forty"]}))
        assert json.loads(socket.recv(300))["type"] == "ready"
    with connect(server.socket_url + "/v1/realtime") as socket:
        transcription = {
            "prompt": f"The talk is about {hint}.",
            "keywords": [hint],
            "model": "whisper-1-2099-01-01",
        }
        session = {"type": "transcription", "audio": {"input": {"transcription": transcription}}}
        socket.send(json.dumps({"type": "session.update", "session": session}))
        assert [json.loads(socket.recv(300))["type"] for _ in range(2)] == ["session.created", "session.updated"]


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ({"language": "en"}, "en"), ({"language": "en-AU"}, "en"), ({"language": "German"}, "de"),
        ({"language": "de-AT"}, "de"), ({"languages": ["de"]}, "de"), ({"languages": ["de", "en"]}, "auto"),
        ({"language": "multi"}, "auto"), ({"language": "auto"}, "auto"), ({"language": ""}, None),
        ({"language": None}, None), ({}, None),
    ],
)  # fmt: skip
def test_languages_mean_the_same_everywhere(server: Server, asked: dict[str, Any], used: str | None) -> None:
    with connect(server.socket_url + "/v1/realtime") as socket:
        session = {"type": "transcription", "audio": {"input": {"transcription": asked}}}
        socket.send(json.dumps({"type": "session.update", "session": session}))
        updated = messages(socket, until="session.updated")[-1]
        assert updated["session"]["audio"]["input"]["transcription"]["language"] == used
    if "languages" in asked:
        query = "&".join(f"detect_language={each}" for each in asked["languages"])
    else:
        query = f"language={asked.get('language') or ''}"
        with connect(server.socket_url + "/v1/stream") as socket:
            socket.send(json.dumps({"type": "start", **asked}))
            assert json.loads(socket.recv(300))["language"] == (used or "auto")
            socket.send(json.dumps({"type": "language", "language": asked.get("language")}))
            socket.send('{"type": "end"}')
            assert messages(socket)[-1]["type"] == "final"
    with connect(f"{server.socket_url}/v1/listen?{RAW}&{query}") as socket:
        socket.send('{"type": "CloseStream"}')
        assert messages(socket)[-1]["language"] == (used or "auto")


def test_the_reason_of_a_refusal_reaches_people(server: Server) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(f"{server.socket_url}/v1/listen?{RAW}&language=klingon"):
        pass
    assert caught.value.response.headers["dg-error"].startswith("INVALID_VALUE: Unknown language 'klingon'")
    with connect(server.socket_url + "/v1/stream?language=klingon") as socket:
        [error] = messages(socket)
        assert socket.close_reason is not None
        assert socket.close_reason.startswith("invalid_value: Unknown language 'klingon'")
        assert len(socket.close_reason.encode()) <= 123
    with pytest.raises(InvalidStatus), connect(f"{server.socket_url}/v1/listen?{RAW}&redact=pci"):
        pass
    with connect(f"{server.socket_url}/v1/stream?language=de") as socket:
        socket.send('{"type": "dance"}')
        messages(socket, until="error")
    with connect(server.socket_url + "/v1/realtime") as socket:
        for _ in range(30):
            socket.send('{"type": "conversation.item.sing"}')
            messages(socket, until="error")
    for path in ("/v1/listen", "/v1/stream"):
        [record] = server.wait_for_logs("request", "klingon", path)
        assert (record["code"], record["param"]) == ("invalid_value", "language")
        assert record["error"] == error["error"]["message"]
    assert server.wait_for_logs("request", "redact")
    refused = server.wait_for_logs("message refused", "conversation.item.sing", count=10)
    assert [(each["code"], each["param"]) for each in refused] == [("unknown_event", "type")] * 10
    assert server.wait_for_logs("message refused", "invalid_value", "dance")


def test_detected_languages_are_told(server: Server, recognizer: Recognizer) -> None:
    data = b"".join(map(pcm, (clip("en"), silence(1), clip("de"))))
    reference = Reference(recognizer, AudioFormat(), rules())
    reference.accept(pieces(data))
    reference.finish()
    spoken = [segment for segment in reference.segments if segment.text]
    with connect(f"{server.socket_url}/v1/listen?{RAW}&language=multi&interim_results=true") as socket:
        for part in pieces(data):
            socket.send(part)
        socket.send('{"type": "CloseStream"}')
        results = [each for each in messages(socket) if each["type"] == "Results" and each["is_final"]]
    found = [each["channel"]["alternatives"][0] for each in results]
    assert [each["languages"] for each in found] == [[segment.language] for segment in spoken]
    for alternative, segment in zip(found, spoken, strict=True):
        assert {word["language"] for word in alternative["words"]} == {segment.language}
        ends = [word["end"] for word in alternative["words"][:-1]]
        assert all(end <= word["start"] for end, word in zip(ends, alternative["words"][1:], strict=True))


def test_a_completed_item_has_its_language_and_log_probabilities(server: Server, recognizer: Recognizer) -> None:
    expected = recognizer.transcribe(clip("de"), language="auto")
    with OpenAI(**connect_options(server)).realtime.connect(extra_query={"intent": "transcription"}) as connection:
        fields = {"format": {"type": "audio/pcm", "rate": 16000}, "turn_detection": None}
        include = ["item.input_audio_transcription.logprobs"]
        connection.session.update(session=configuration(**fields) | {"include": include})
        connection.input_audio_buffer.append(audio=base64.b64encode(pcm(clip("de"))).decode())
        connection.input_audio_buffer.commit()
        events: list[Any] = []
        while not events or not events[-1].type.endswith("transcription.completed"):
            events.append(connection.recv())
    assert next(each for each in events if each.type == "session.updated").session.include == include
    done = events[-1]
    assert done.transcript == expected.text
    assert [each.code for each in done.languages] == ["de"]
    assert "".join(each.token for each in done.logprobs).strip() == done.transcript
    assert all(each.logprob <= 0 for each in done.logprobs)
    assert any(each.logprob < 0 for each in done.logprobs)


def test_an_utterance_end_counts_from_the_last_word(server: Server, recognizer: Recognizer) -> None:
    """A `Finalize` comes a while after the last word."""
    data = pieces(pcm(clip("en")) + pcm(silence(1)), 2560)
    reference = Reference(recognizer, AudioFormat(), rules(math.inf), "en")
    reference.accept(data)
    reference.commit()
    last = reference.segments[0].words[-1].end

    async def converse(heard: float) -> list[Any]:
        """All messages if the audio goes on for so many seconds after the last word."""
        client = AsyncDeepgramClient(**client_options(server))
        options = {"encoding": "linear16", "sample_rate": 16000, "utterance_end_ms": 1500, "endpointing": "false"}
        async with client.listen.v1.connect(model="nova-3", language="en", **options) as connection:
            for part in data:
                await connection.send_media(part)
            await connection.send_finalize()
            found = [await connection.recv()]
            assert found[0].from_finalize
            end = found[0].start + found[0].duration
            await connection.send_media(pcm(silence(last + heard - end)))
            await connection.send_close_stream()
            return found + [message async for message in connection]

    for heard, ends in ((1.4, []), (2.1, [last])):  # in whole chunks of 0.32 s
        found = asyncio.run(converse(heard))
        assert texts(found) == [reference.segments[0].text]
        assert len(finals(found)) == 1
        assert [each.last_word_end for each in found if each.type == "UtteranceEnd"] == ends


def test_large_messages(server: Server, recognizer: Recognizer) -> None:
    """OpenAI accepts 15 MiB of audio per message."""
    silent = bytes(15 * 2**20 - len(pcm(clip("en"), 24000)))
    text = base64.b64encode(pcm(clip("en"), 24000) + silent).decode()
    with connect(server.socket_url + "/v1/realtime", max_size=None) as socket:
        session = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
        socket.send(json.dumps({"type": "session.update", "session": session}))
        socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": text}))
        socket.send('{"type": "input_audio_buffer.commit"}')
        found = messages(socket, until="conversation.item.input_audio_transcription.completed")
    assert not [each for each in found if each["type"] == "error"]
    assert found[-1]["usage"]["seconds"] == pytest.approx(15 * 2**20 / 48000, abs=0.1)
    assert found[-1]["transcript"]


def test_base64_of_all_kinds() -> None:
    data = bytes(range(256)) + b"\xff"
    text = base64.b64encode(data).decode()
    safe = base64.urlsafe_b64encode(data).decode()
    broken = "\r\n".join(text[start : start + 76] for start in range(0, len(text), 76))
    for given in (text, safe, text.rstrip("="), safe.rstrip("="), broken, broken + "\n"):
        assert as_base64(given, "audio") == data
    assert as_base64("", "audio") == b""
    for wrong in ("no base64!", "a", None, 7):
        with pytest.raises(InvalidValueError):
            as_base64(wrong, "audio")


def test_the_log_says_that_a_client_was_idle(tmp_path: Path) -> None:
    with Server(tmp_path, "--max-stream-minutes", 1 / 60) as server:
        with connect(server.socket_url + "/v1/stream?language=en") as socket:
            found = messages(socket)
            assert (socket.close_code, socket.close_reason) == (1000, "idle: No message was received for 1 s.")
        assert [each["type"] for each in found] == ["ready", "final"]
    [closed] = server.logs("stream closed")
    assert (closed["reason"], closed["error"]) == ("idle", "No message was received for 1 s.")
