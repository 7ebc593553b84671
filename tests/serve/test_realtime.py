"""OpenAI's Realtime interface, with the official client."""

import asyncio
import base64
import math
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

import legato
from legato.audio.pcm import AudioFormat
from legato.recognizer import Recognizer
from legato.serve.core.fields import as_base64
from legato.serve.errors import InvalidValueError
from tests.support.live import NEVER, Reference, clip, g711, pcm, pieces, recognized, silence
from tests.support.server import Server

TRANSCRIPTION = "conversation.item.input_audio_transcription"
TURNS = legato.Endpointing(after_speech=0.5, without_speech=math.inf, longest=math.inf)


def connect_options(server: Server) -> dict[str, Any]:
    return {
        "base_url": server.url + "/v1", "websocket_base_url": server.socket_url + "/v1",
        "api_key": "unused", "max_retries": 0,
    }  # fmt: skip


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def configuration(**fields: Any) -> Any:
    return {"type": "transcription", "audio": {"input": fields}}


async def until(connection: Any, kind: str) -> list[Any]:
    """Events up to the next of a kind, that one included."""
    events: list[Any] = []
    async with asyncio.timeout(60):
        while not events or events[-1].type != kind:
            events.append(await connection.recv())
    return events


def test_all_formats_and_languages_on_one_connection(server: Server, recognizer: Recognizer, tmp_path: Path) -> None:
    turns = [
        ("en", {"type": "audio/pcm", "rate": 24000}, AudioFormat("pcm16", 24000), pcm(clip("en"), 24000)),
        ("de", {"type": "audio/pcm", "rate": 16000}, AudioFormat("pcm16", 16000), pcm(clip("de"))),
        ("es", {"type": "audio/pcmu"}, AudioFormat("mulaw", 8000), g711(clip("es"), "mulaw", tmp_path)),
        ("it", {"type": "audio/pcma"}, AudioFormat("alaw", 8000), g711(clip("it"), "alaw", tmp_path)),
    ]
    reference = Reference(recognizer, turns[0][2], NEVER)

    async def converse() -> list[str]:
        texts: list[str] = []
        client = AsyncOpenAI(**connect_options(server))
        async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            created = await connection.recv()
            assert created.type == "session.created"
            before = None
            for language, form, audio_format, data in turns:
                session = configuration(
                    format=form, transcription={"model": "whisper-1", "language": language}, turn_detection=None
                )
                await connection.session.update(session=session)
                updated: Any = await connection.recv()
                assert updated.type == "session.updated"
                told = updated.session.audio.input
                assert told.format.model_dump(exclude_none=True) == form
                assert (told.transcription.language, told.turn_detection) == (language, None)
                for piece in pieces(data):
                    await connection.input_audio_buffer.append(audio=text_of(piece))
                await connection.input_audio_buffer.commit()
                events = await until(connection, f"{TRANSCRIPTION}.completed")
                kinds = [event.type for event in events if event.type != f"{TRANSCRIPTION}.delta"]
                assert kinds == [
                    "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done",
                    f"{TRANSCRIPTION}.completed",
                ]  # fmt: skip
                committed = events[-4]
                assert committed.previous_item_id == before
                before = committed.item_id
                deltas = [event for event in events if event.type == f"{TRANSCRIPTION}.delta"]
                assert {event.item_id for event in [*deltas, events[-1]]} == {committed.item_id}
                assert "".join(event.delta for event in deltas) == events[-1].transcript
                assert events[-1].usage.seconds == pytest.approx(len(clip(language)) / 16000, abs=0.1)
                texts.append(events[-1].transcript)
                reference.set_audio_format(audio_format)
                reference.stream.set_language(language)
                reference.accept(pieces(data))
                reference.commit()
        return texts

    texts = asyncio.run(converse())
    assert texts == [segment.text for segment in reference.segments]
    assert all(texts)


def test_turns_that_the_server_ends(server: Server, recognizer: Recognizer) -> None:
    data = b"".join(pcm(each, 24000) for each in (clip("en"), silence(1), clip("de"), silence(1)))
    reference = Reference(recognizer, AudioFormat("pcm16", 24000), TURNS)
    reference.accept(pieces(data))
    expected = [segment for segment in reference.segments if segment.reason == "pause"]
    assert len(expected) >= 2
    with OpenAI(**connect_options(server)).realtime.connect(model="gpt-realtime") as connection:
        created: Any = connection.recv()
        assert created.session.audio.input.turn_detection.silence_duration_ms == 500
        # What configures a conversation is passed over.
        session: Any = configuration(turn_detection={"type": "semantic_vad", "eagerness": "high"})
        session |= {"type": "realtime", "instructions": "Be kind.", "tools": []}
        connection.session.update(session=session)
        updated: Any = connection.recv()
        assert updated.session.audio.input.turn_detection.model_dump(exclude_none=True) == {
            "type": "semantic_vad", "eagerness": "high",
        }  # fmt: skip
        for piece in pieces(data):
            connection.input_audio_buffer.append(audio=text_of(piece))
        for segment in expected:
            events: list[Any] = []
            while not events or events[-1].type != f"{TRANSCRIPTION}.completed":
                events.append(connection.recv())
            kinds = [event.type for event in events if event.type != f"{TRANSCRIPTION}.delta"]
            assert kinds == [
                "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed", "conversation.item.added", "conversation.item.done",
                f"{TRANSCRIPTION}.completed",
            ]  # fmt: skip
            assert events[0].type == kinds[0]  # before the first word
            assert events[-1].transcript == segment.text
            assert events[0].audio_start_ms == max(0, round(segment.words[0].start * 1000) - 300)
            assert events[-5].audio_end_ms == round(segment.end * 1000)
            assert len({event.item_id for event in events if hasattr(event, "item_id")}) == 1


def test_beta(server: Server, recognizer: Recognizer) -> None:
    async def converse() -> list[Any]:
        client = AsyncOpenAI(**connect_options(server))
        async with client.beta.realtime.connect(
            model="whisper-1", extra_query={"intent": "transcription"}
        ) as connection:
            created: Any = await connection.recv()
            assert created.type == "transcription_session.created"
            await connection.transcription_session.update(
                session={
                    "input_audio_format": "pcm16",
                    "input_audio_transcription": {"model": "whisper-1", "language": "fr"},
                    "turn_detection": {"type": "server_vad", "silence_duration_ms": 700},
                }
            )
            updated: Any = await connection.recv()
            assert updated.type == "transcription_session.updated"
            assert updated.session.input_audio_transcription.language == "fr"
            assert updated.session.turn_detection.silence_duration_ms == 700
            await connection.transcription_session.update(session={"turn_detection": None})  # type: ignore[typeddict-item]
            updated = await connection.recv()
            assert (updated.session.turn_detection, updated.session.input_audio_format) == (None, "pcm16")
            for piece in pieces(pcm(clip("fr"), 24000)):
                await connection.input_audio_buffer.append(audio=text_of(piece))
            await connection.input_audio_buffer.commit()
            return await until(connection, f"{TRANSCRIPTION}.completed")

    events = asyncio.run(converse())
    kinds = [event.type for event in events if event.type != f"{TRANSCRIPTION}.delta"]
    assert kinds == ["input_audio_buffer.committed", "conversation.item.created", f"{TRANSCRIPTION}.completed"]
    expected = Reference(recognizer, AudioFormat("pcm16", 24000), NEVER, "fr")
    expected.accept(pieces(pcm(clip("fr"), 24000)))
    expected.commit()
    assert events[-1].transcript == expected.segments[0].text
    assert events[-1].transcript


def test_mistakes_are_answered_and_harm_nothing(server: Server) -> None:
    with OpenAI(**connect_options(server)).realtime.connect(extra_query={"intent": "transcription"}) as connection:
        session: Any = connection.recv()
        for event, code, param in (
            ({"type": "response.create"}, "unknown_event", "type"),
            ({"type": 7}, "unknown_event", "type"),
            ({}, "unknown_event", "type"),
            ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
            ({"type": "input_audio_buffer.append", "audio": "no base64!"}, "invalid_value", "audio"),
            ({"type": "input_audio_buffer.append", "audio": None}, "invalid_value", "audio"),
            ({"type": "session.update"}, "invalid_value", "session"),
            (update(format={"type": "audio/mp3"}), "invalid_value", "session.audio.input.format"),
            (update(format={"type": "audio/pcm", "rate": 44100}), "invalid_value", "session.audio.input.format.rate"),
            (update(transcription={"language": "xx-XX"}), "invalid_value", "language"),
            (update(turn_detection={"type": "psychic"}), "invalid_value", "session.audio.input.turn_detection.type"),
            (
                update(turn_detection={"silence_duration_ms": True}),
                "invalid_value",
                "session.audio.input.turn_detection.silence_duration_ms",
            ),
            (
                {"type": "transcription_session.update", "session": {"input_audio_format": 3}},
                "invalid_value",
                "session.input_audio_format",
            ),
        ):
            connection.send({**event, "event_id": "mine"})  # type: ignore[arg-type]
            answer: Any = connection.recv()
            assert answer.type == "error", event
            assert (answer.error.code, answer.error.param, answer.error.event_id) == (code, param, "mine"), event
        connection.send_raw("no JSON")
        answer = connection.recv()
        assert answer.error.code == "invalid_json"
        connection.send({"type": "session.update", "session": {}})  # type: ignore[arg-type]
        updated: Any = connection.recv()
        told = updated.session.model_dump()
        assert told["turn_detection"]["silence_duration_ms"] == 500
        assert told["input_audio_transcription"]["language"] is session.session.audio.input.transcription.language


@pytest.mark.parametrize("transcription", [{"language": "de-AT"}, {"languages": ["de"]}, {"language": "German"}])
def test_languages_and_hints(server: Server, recognizer: Recognizer, transcription: dict[str, Any]) -> None:
    expected = Reference(recognizer, AudioFormat("pcm16", 24000), NEVER, "de")
    expected.accept(pieces(pcm(clip("de"), 24000)))
    expected.commit()
    with OpenAI(**connect_options(server)).realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.recv()
        hints = {"prompt": "\u2603, GPT-4\u2122", "keywords": ["\u6771\u4eac"]}
        connection.session.update(session=configuration(turn_detection=None, transcription=transcription | hints))
        updated: Any = connection.recv()
        assert updated.type == "session.updated"
        told = updated.session.model_dump()["audio"]["input"]["transcription"]
        assert told["language"] == "de"  # the prompt in use
        for piece in pieces(pcm(clip("de"), 24000)):
            connection.input_audio_buffer.append(audio=text_of(piece))
        connection.input_audio_buffer.commit()
        events: list[Any] = []
        while not events or events[-1].type != f"{TRANSCRIPTION}.completed":
            events.append(connection.recv())
    assert events[-1].transcript == expected.segments[0].text != ""


def test_base64_in_all_its_forms() -> None:
    data = bytes(range(256))
    plain = base64.b64encode(data).decode()
    safe = base64.urlsafe_b64encode(data).decode()
    lines = base64.encodebytes(data).decode()
    for text in (plain, safe, lines, plain.rstrip("="), safe.rstrip("="), lines.replace("\n", "\r\n")):
        assert as_base64(text, "audio") == data
    for wrong in ("no base64!", "a", "\u00e4\u00e4\u00e4\u00e4", None, 7):
        with pytest.raises(InvalidValueError):
            as_base64(wrong, "audio")


def update(**fields: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": configuration(**fields)}


def test_what_is_cleared_is_not_told(server: Server, recognizer: Recognizer) -> None:
    reference = Reference(recognizer, AudioFormat("pcm16", 24000), NEVER)
    with OpenAI(**connect_options(server)).realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.recv()
        connection.session.update(session=configuration(turn_detection=None))
        for language in ("de", "en"):
            for piece in pieces(pcm(clip(language), 24000)):
                connection.input_audio_buffer.append(audio=text_of(piece))
                reference.accept([piece])
            if language == "de":
                connection.input_audio_buffer.clear()
                reference.commit()
        connection.input_audio_buffer.commit()
        reference.commit()
        events: list[Any] = []
        while not events or events[-1].type != f"{TRANSCRIPTION}.completed":
            events.append(connection.recv())
        cleared = next(n for n, event in enumerate(events) if event.type == "input_audio_buffer.cleared")
        assert {event.type for event in events[:cleared]} <= {"session.updated", f"{TRANSCRIPTION}.delta"}
        assert events[-1].transcript == reference.segments[1].text
        assert all(segment.text for segment in reference.segments)
        connection.input_audio_buffer.clear()  # nothing is there
        assert connection.recv().type == "input_audio_buffer.cleared"


def test_phrases_and_turns_change_while_speech_goes_on(server: Server, recognizer: Recognizer) -> None:
    """Three times the same words: without phrases, with some, and ended by the server."""
    data = pieces(pcm(clip("es"), 24000))
    wanted = ["laciencia", "forty"]
    reference = Reference(recognizer, AudioFormat("pcm16", 24000), NEVER, "es")
    with OpenAI(**connect_options(server)).realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.recv()
        connection.session.update(session=configuration(turn_detection=None, transcription={"language": "es"}))
        texts = []
        for number in range(3):
            if number == 1:
                connection.session.update(session=configuration(transcription={"prompt": ", ".join(wanted)}))
                reference.stream.set_phrases(wanted)
            elif number == 2:
                connection.session.update(session=configuration(turn_detection={"type": "server_vad"}))
                reference.stream.set_endpoint(TURNS)
                data = [*data, *pieces(pcm(silence(1.5), 24000))]
            for piece in data:
                connection.input_audio_buffer.append(audio=text_of(piece))
            reference.accept(data)
            if number < 2:
                connection.input_audio_buffer.commit()
                reference.commit()
            event: Any = None
            while event is None or event.type != f"{TRANSCRIPTION}.completed":
                event = connection.recv()
            texts.append(event.transcript)
        assert texts == reference.texts
        assert texts[0] != texts[1]


def test_any_app_may_send_more_than_is_queued(server: Server, recognizer: Recognizer) -> None:
    """45 s of audio at once: the sender is slowed down, and nothing is lost."""
    data = pcm(clip("en"), 24000) * 17
    audio_format = AudioFormat("pcm16", 24000)
    with OpenAI(**connect_options(server)).realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session=configuration(turn_detection=None, transcription={"language": "en"}))
        for piece in pieces(data, 480_000):
            connection.input_audio_buffer.append(audio=text_of(piece))
        connection.input_audio_buffer.commit()
        event: Any = None
        while event is None or event.type != f"{TRANSCRIPTION}.completed":
            event = connection.recv()
    assert event.transcript == recognized(recognizer, pieces(data, 480_000), audio_format, language="en")
