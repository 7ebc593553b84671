"""Deepgram's interface with turns, with the official client."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.events import EventType
from deepgram.listen.v2.types import ListenV2Configure, ListenV2ConfigureThresholds
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import legato
from legato.audio.pcm import AudioFormat
from legato.recognizer import Recognizer
from legato.serve.deepgram.flux_options import Thresholds
from tests.serve.test_deepgram import client_options
from tests.support.live import Reference, clip, pcm, pieces, silence
from tests.support.server import Server

LINEAR: dict[str, Any] = {"encoding": "linear16", "sample_rate": 16000}


def rules(after: float, without: float = math.inf) -> legato.Endpointing:
    return legato.Endpointing(after_speech=after, without_speech=without, longest=math.inf)


@asynccontextmanager
async def listening(server: Server, **options: Any) -> AsyncIterator[Any]:
    client = AsyncDeepgramClient(**client_options(server))
    async with client.listen.v2.connect(model="flux-general-multi", **options) as connection, asyncio.timeout(60):
        yield connection


def listen(server: Server, parts: Sequence[bytes], **options: Any) -> list[Any]:
    """All messages to a stream that is sent at once, and closed in good order."""

    async def converse() -> list[Any]:
        async with listening(server, **options) as connection:
            for part in parts:
                await connection.send_media(part)
            await connection.send_close_stream()
            return [message async for message in connection]

    return asyncio.run(converse())


def turns(messages: Sequence[Any], *kinds: str) -> list[Any]:
    """The events about turns, all or those of some kinds."""
    return [each for each in messages if each.type == "TurnInfo" and (not kinds or each.event in kinds)]


def test_turns_end_by_silence(server: Server, recognizer: Recognizer) -> None:
    data = pieces(b"".join(map(pcm, (clip("en"), silence(2), clip("de")))))
    reference = Reference(recognizer, AudioFormat(), rules(0.8))
    reference.accept(data)
    reference.finish()
    spoken = [segment for segment in reference.segments if segment.text]
    assert len(spoken) > 1
    connected, *messages = listen(server, data, **LINEAR)
    assert connected.type == "Connected"
    assert [each.sequence_id for each in [connected, *messages]] == list(range(len(messages) + 1))
    assert {each.request_id for each in messages} == {connected.request_id}
    ended = turns(messages, "EndOfTurn")
    assert [each.transcript for each in ended] == [segment.text for segment in spoken]
    assert [each.turn_index for each in ended] == list(range(len(spoken)))
    assert [each.trigger for each in ended] == ["model"] * (len(spoken) - 1) + ["manual"]  # the client ended the last
    assert [each.languages for each in ended] == [[segment.language] for segment in spoken]
    for each, segment in zip(ended, spoken, strict=True):
        assert [word.word for word in each.words] == [word.text for word in segment.words]
        assert each.words[0].start == segment.words[0].start
        assert all(one.end <= two.start for one, two in zip(each.words, each.words[1:], strict=False))
        of_turn = [message for message in turns(messages) if message.turn_index == each.turn_index]
        assert [message.event for message in of_turn] == ["StartOfTurn", *["Update"] * (len(of_turn) - 2), "EndOfTurn"]
        assert all(each.transcript.startswith(message.transcript) for message in of_turn)


def test_an_eager_end_may_be_taken_back(server: Server, recognizer: Recognizer) -> None:
    """Two pauses: one after which the speaker goes on, and one that ends the turn."""
    options = {"eager_eot_threshold": 0.3, "eot_threshold": 0.9}
    eager, end = Thresholds(eager=0.3).eager_silence, Thresholds(end=0.9).silence
    assert eager == 0.3 and end == 1.2
    data = pieces(b"".join(map(pcm, (clip("en"), silence(0.3), clip("en"), silence(3)))), 2560)
    messages = listen(server, data, language_hint="en", **options, **LINEAR)
    events = [each.event for each in turns(messages) if each.event != "Update"]
    assert events[0] == "StartOfTurn"
    assert events[-2:] == ["EagerEndOfTurn", "EndOfTurn"]
    assert all(two == "TurnResumed" for one, two in pairwise(events[:-1]) if one == "EagerEndOfTurn")
    [ended] = turns(messages, "EndOfTurn")
    assert ended.languages_hinted == ["en"]
    assert ended.transcript == turns(messages, "EagerEndOfTurn")[-1].transcript
    reference = Reference(recognizer, AudioFormat(), rules(eager, end - eager), "en")
    reference.accept(data)
    reference.finish()
    assert ended.transcript == " ".join(reference.texts)
    assert events.count("EagerEndOfTurn") == len(reference.texts)


def test_the_timeout_and_a_turn_that_is_forced_to_end(server: Server) -> None:
    async def converse() -> list[Any]:
        async with listening(server, eot_threshold=1, eot_timeout_ms=1000, language_hint="fr", **LINEAR) as connection:
            await connection.send_force_end_turn()  # nothing was said
            for part in pieces(pcm(clip("fr"))):
                await connection.send_media(part)
            await connection.send_force_end_turn()
            for part in pieces(b"".join(map(pcm, (silence(1), clip("fr"), silence(2))))):
                await connection.send_media(part)
            await connection.send_close_stream()
            return [message async for message in connection]

    _, warning, *messages = asyncio.run(converse())
    assert (warning.type, warning.code) == ("Warning", "NO_OPEN_TURN")
    assert [each.trigger for each in turns(messages, "EndOfTurn")] == ["manual", "timeout"]
    assert all(each.transcript for each in turns(messages, "EndOfTurn"))


def test_the_configuration_changes_while_speech_goes_on(server: Server, recognizer: Recognizer) -> None:
    data = pieces(pcm(clip("en")))
    reference = Reference(recognizer, AudioFormat(), rules(0.8), "en")
    reference.accept(data)
    reference.commit()
    reference.stream.set_phrases(["laciencia", "forty"])
    reference.accept(data)
    reference.commit()

    async def converse() -> list[Any]:
        async with listening(server, language_hint="en-AU", **LINEAR) as connection:
            for configuration in (
                ListenV2Configure(keyterms=["laciencia", "forty", "\u2603"]),
                ListenV2Configure(thresholds=ListenV2ConfigureThresholds(eot_threshold=2)),
                ListenV2Configure(language_hints=["de", "en"]),
            ):
                for part in data:
                    await connection.send_media(part)
                await connection.send_force_end_turn()
                await connection.send_configure(configuration)
            await connection.send_close_stream()
            return [message async for message in connection]

    messages = asyncio.run(converse())
    done, refused, hinted = (each for each in messages if each.type.startswith("Configure"))
    assert done.keyterms == ["laciencia", "forty", "\u2603"]
    assert done.thresholds.eot_threshold == 0.7
    assert (refused.type, refused.code) == ("ConfigureFailure", "INVALID_CONFIGURATION")
    assert "eot_threshold" in refused.description
    assert hinted.language_hints == ["de", "en"]
    [warning] = [each for each in messages if each.type == "Warning"]
    assert warning.code == "KEYTERM_IGNORED"
    assert "\u2603" in warning.description
    assert [each.transcript for each in turns(messages, "EndOfTurn")][:2] == reference.texts


def test_handlers_without_asyncio(server: Server) -> None:
    received: list[Any] = []
    options = client_options(server)
    with DeepgramClient(**options).listen.v2.connect(
        model="flux-general-en", encoding="linear16", sample_rate=48000, profanity_filter="true", tag="a"
    ) as connection:
        connection.on(EventType.MESSAGE, received.append)
        for part in pieces(pcm(clip("de"), 48000), 20_000):
            connection.send_media(part)
        connection.send_close_stream()
        connection.start_listening()
    assert [each.code for each in received if each.type == "Warning"] == ["OPTION_IGNORED"]
    assert received[-1].event == "EndOfTurn"
    assert received[-1].transcript


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("encoding=linear16", "sample_rate"),
        ("encoding=linear16&sample_rate=16000&eot_threshold=0.2", "eot_threshold"),
        ("encoding=linear16&sample_rate=16000&redact=pci", "redact"),
        ("encoding=linear16&sample_rate=16000&language_hint=xx", "language"),
    ],
)
def test_what_cannot_be_done_is_refused(server: Server, query: str, name: str) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(f"{server.socket_url}/v2/listen?{query}"):
        pass
    assert caught.value.response.status_code == 400
    assert name in caught.value.response.headers["dg-error"]


def test_an_error_ends_the_connection_and_an_unknown_message_does_not(server: Server) -> None:
    with connect(server.socket_url + "/v2/listen") as socket:
        assert json.loads(socket.recv(60))["type"] == "Connected"
        for message in ("no JSON", "[]", '{"type": "Speak"}'):
            socket.send(message)
            assert json.loads(socket.recv(60))["code"] == "UNKNOWN_MESSAGE"
        socket.send(b"This is no audio. " * 5000)
        socket.send('{"type": "CloseStream"}')
        answer = json.loads(socket.recv(60))
        assert answer["type"] == "Error"
        assert "not an audio file" in answer["description"]
        with pytest.raises(ConnectionClosed, match="1008"):
            socket.recv(60)
