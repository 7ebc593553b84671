"""Deepgram's live interface, with the official client."""

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1.types import ListenV1Configure
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import legato
from legato.audio.pcm import AudioFormat
from legato.audio.source import read_audio
from legato.recognizer import Recognizer
from tests.support.live import Reference, clip, g711, pcm, pieces, silence
from tests.support.paths import SAMPLES
from tests.support.server import Server
from tests.support.sounds import encode

LINEAR = {"encoding": "linear16", "sample_rate": 16000}


def rules(after: float = 0.5, without: float = math.inf) -> legato.Endpointing:
    return legato.Endpointing(after_speech=after, without_speech=without, longest=20)


def client_options(server: Server, key: str = "unused") -> dict[str, Any]:
    environment = DeepgramClientEnvironment(
        base=server.url, production=server.socket_url, agent=server.socket_url, agent_rest=server.url
    )
    return {"environment": environment, "api_key": key}


@asynccontextmanager
async def listening(server: Server, **options: Any) -> AsyncIterator[Any]:
    client = AsyncDeepgramClient(**client_options(server))
    async with client.listen.v1.connect(model="nova-3", **options) as connection:
        yield connection


def listen(server: Server, parts: Sequence[bytes], **options: Any) -> list[Any]:
    """All messages to a stream that is sent at once, and closed in good order."""

    async def converse() -> list[Any]:
        async with listening(server, **options) as connection, asyncio.timeout(60):
            for part in parts:
                await connection.send_media(part)
            await connection.send_close_stream()
            return [message async for message in connection]

    return asyncio.run(converse())


def finals(messages: Sequence[Any], channel: int = 0) -> list[Any]:
    return [each for each in messages if each.type == "Results" and each.is_final and each.channel_index[0] == channel]


def texts(messages: Sequence[Any], channel: int = 0) -> list[str]:
    return [each.channel.alternatives[0].transcript for each in finals(messages, channel)]


def test_interim_and_final_results(server: Server, recognizer: Recognizer) -> None:
    data = b"".join(map(pcm, (clip("en"), silence(1), clip("de"))))
    reference = Reference(recognizer, AudioFormat(), rules())
    reference.accept(pieces(data))
    reference.finish()
    *messages, metadata = listen(server, pieces(data), interim_results=True, **LINEAR)
    found = finals(messages)
    assert len(found) > 1
    assert texts(messages) == reference.texts
    assert [each.speech_final for each in found] == [True] * len(found)  # after a pause, and at the end
    spoken = [segment for segment in reference.segments if segment.text]
    for result, segment in zip(found, spoken, strict=True):
        assert (result.start, result.duration) == (segment.start, pytest.approx(segment.end - segment.start))
        words = result.channel.alternatives[0].words
        starts = [*(word.start for word in segment.words[1:]), math.inf]
        assert [(word.punctuated_word, word.start, word.end) for word in words] == [
            (word.text, word.start, min(word.end, start))  # words do not overlap
            for word, start in zip(segment.words, starts, strict=True)
        ]
        assert all(0 <= word.confidence <= 1 and word.word == word.word.lower() for word in words)
    results = [each for each in messages if each.type == "Results"]
    assert any(not each.is_final for each in results)
    for one, next_one in pairwise(results):  # an interim text grows
        if not one.is_final:
            grown = next_one.channel.alternatives[0]
            assert grown.transcript.startswith(one.channel.alternatives[0].transcript)
            assert len(grown.words) >= len(one.channel.alternatives[0].words)
    assert metadata.type == "Metadata"
    assert metadata.sha256 == hashlib.sha256(data).hexdigest()
    assert metadata.duration == pytest.approx(len(data) / 32000, abs=1e-3)
    assert {each.metadata.request_id for each in results} == {metadata.request_id}


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_telephone(server: Server, recognizer: Recognizer, tmp_path: Path, law: Any) -> None:
    data = g711(clip("es"), law, tmp_path)
    reference = Reference(recognizer, AudioFormat(law, 8000), rules(), "es")
    reference.accept(pieces(data))
    reference.finish()
    messages = listen(server, pieces(data), encoding=law, sample_rate=8000, language="es")
    assert texts(messages) == reference.texts != []
    assert all(each.is_final for each in messages if each.type == "Results")


@pytest.mark.parametrize(("name", "codec", "form"), [("a.webm", "libopus", "flt"), ("a.flac", "flac", "s16")])
def test_a_container_says_itself_what_it_is(
    server: Server, recognizer: Recognizer, tmp_path: Path, name: str, codec: str, form: str
) -> None:
    path = encode(tmp_path / name, clip("de")[:, None], 16000, codec, form)
    reference = Reference(recognizer, AudioFormat("float32"), rules(), "de")
    reference.accept([read_audio(path).tobytes()])
    reference.finish()
    parts = pieces(path.read_bytes(), 1000)
    options = {"encoding": "flac"} if codec == "flac" else {}
    messages = listen(server, parts, language="de", **options)
    assert texts(messages) == reference.texts != []
    assert messages[-1].duration == pytest.approx(len(clip("de")) / 16000, abs=0.05)


def test_a_container_that_is_none(server: Server) -> None:
    with connect(server.socket_url + "/v1/listen") as socket:
        socket.send(b"This is no audio. " * 5000)
        socket.send('{"type": "CloseStream"}')
        answer = json.loads(socket.recv(60))
        while answer["type"] != "Error":
            answer = json.loads(socket.recv(60))
        assert "not an audio file" in answer["description"]
        with pytest.raises(ConnectionClosed, match="1008"):
            socket.recv(60)


def test_channels_are_recognized_separately_or_mixed(server: Server, recognizer: Recognizer) -> None:
    length = len(clip("it"))
    both = np.stack([np.pad(clip("en")[:length], (0, length - min(length, len(clip("en"))))), clip("it")], axis=1)
    data = pcm(both)
    parts = pieces(data, 5001)  # samples are cut
    messages = listen(server, parts, channels=2, multichannel=True, **LINEAR)
    for channel in range(2):
        reference = Reference(recognizer, AudioFormat(channels=2, channel=channel), rules())
        reference.accept(parts)
        reference.finish()
        assert texts(messages, channel) == reference.texts != []
        assert {tuple(each.channel_index) for each in finals(messages, channel)} == {(channel, 2)}
    assert messages[-1].channels == 2
    reference = Reference(recognizer, AudioFormat(channels=2), rules())
    reference.accept(parts)
    reference.finish()
    assert texts(listen(server, parts, channels=2, **LINEAR)) == reference.texts != []


def test_finalize_always_answers(server: Server, recognizer: Recognizer) -> None:
    data = pieces(pcm(clip("fr")))
    reference = Reference(recognizer, AudioFormat(), rules(math.inf), "fr")
    reference.accept(data[:4])
    reference.commit()
    reference.commit()
    reference.accept(data[4:])
    reference.finish()

    async def converse() -> list[Any]:
        async with listening(server, language="fr", endpointing="false", **LINEAR) as connection, asyncio.timeout(60):
            await connection.send_finalize()  # before any audio
            first = [await connection.recv()]
            for part in data[:4]:
                await connection.send_media(part)
            await connection.send_finalize()
            await connection.send_keep_alive()
            await connection.send_finalize()
            for part in data[4:]:
                await connection.send_media(part)
            await connection.send_close_stream()
            return first + [message async for message in connection]

    *found, metadata = asyncio.run(converse())
    assert [each.from_finalize for each in found] == [True, True, True, False]
    assert all(each.is_final and each.speech_final for each in found)
    expected = [segment.text for segment in reference.segments]
    assert texts(found) == ["", *expected]
    assert expected[0] and expected[-1]
    assert metadata.type == "Metadata"


def test_the_end_of_an_utterance_and_the_start_of_speech(server: Server, recognizer: Recognizer) -> None:
    data = b"".join(map(pcm, (clip("en"), silence(2.5), clip("de"), silence(2.5))))
    for options, endpoint in (
        ({"endpointing": 400}, rules(0.4, 0.6)),
        ({"endpointing": "false"}, rules(1.0, 1.0)),
    ):
        reference = Reference(recognizer, AudioFormat(), endpoint)
        reference.accept(pieces(data))
        reference.finish()
        spoken = [segment for segment in reference.segments if segment.text]
        messages = listen(
            server, pieces(data), interim_results=True, utterance_end_ms=1000, vad_events=True, **options, **LINEAR
        )
        starts = [each.timestamp for each in messages if each.type == "SpeechStarted"]
        assert starts == [segment.words[0].start for segment in spoken]
        ends = [each.last_word_end for each in messages if each.type == "UtteranceEnd"]
        last = [n for n, segment in enumerate(spoken) if segment.text]
        assert set(ends) <= {spoken[n].words[-1].end for n in last}
        assert ends[-1] == spoken[-1].words[-1].end
        assert len(ends) >= 2
        # Nothing was said between the last word and the message.
        kinds = [each.type for each in messages]
        assert kinds[-1] == "Metadata"
        assert all(kinds[n - 1] == "Results" for n, kind in enumerate(kinds) if kind == "UtteranceEnd")
        assert {each.speech_final for each in finals(messages)} == {options["endpointing"] != "false"}


def test_phrases_change_while_speech_goes_on(server: Server, recognizer: Recognizer) -> None:
    data = pieces(pcm(clip("es")))
    reference = Reference(recognizer, AudioFormat(), rules(), "es")
    reference.stream.set_phrases(["laciencia", "forty"])

    async def converse() -> list[Any]:
        async with listening(server, language="es", keyterm=["laciencia", "forty"], **LINEAR) as connection:
            for terms in (["\u2603", "laciencia", "forty"], None, []):
                if terms == []:
                    for part in data:
                        await connection.send_media(part)
                    await connection.send_finalize()
                await connection.send_configure(ListenV1Configure(keyterms=terms))
            for part in data:
                await connection.send_media(part)
            await connection.send_close_stream()
            async with asyncio.timeout(60):
                return [message async for message in connection]

    messages = asyncio.run(converse())
    reference.accept(data)
    reference.commit()
    reference.stream.set_phrases([])
    reference.accept(data)
    reference.finish()
    assert [text for text in texts(messages) if text] == reference.texts
    assert len(set(reference.texts)) == 2  # the phrases make a difference
    answers = [each for each in messages if each.type.startswith("Configure")]
    assert [each.type for each in answers] == ["ConfigureSuccess"] * 3
    assert [getattr(each, "keyterms", None) for each in answers] == [["\u2603", "laciencia", "forty"], None, []]
    assert "\u2603" in answers[0].warnings[0]


def test_events_of_the_client_without_asyncio(server: Server, recognizer: Recognizer) -> None:
    """With its handlers, and its way to listen."""
    received: list[Any] = []
    reference = Reference(recognizer, AudioFormat("pcm16", 48000), rules(), "de")
    parts = pieces(pcm(clip("de"), 48000), 20_000)
    with DeepgramClient(**client_options(server)).listen.v1.connect(
        model="nova-2", language="de", encoding="linear16", sample_rate=48000, punctuate=True, smart_format=True
    ) as connection:
        connection.on(EventType.MESSAGE, received.append)
        for part in parts:
            connection.send_media(part)
        connection.send_close_stream()
        connection.start_listening()
    reference.accept(parts)
    reference.finish()
    assert texts(received) == reference.texts != []
    assert received[-1].type == "Metadata"


def test_what_is_not_understood_is_told(server: Server) -> None:
    with connect(f"{server.socket_url}/v1/listen?encoding=linear16&sample_rate=16000") as socket:
        for message in ("no JSON", "[]", '{"type": "Speak"}', "7", '{"type": "Finalize", "channel": 3}', "[" * 9000):
            socket.send(message)
            answer = str(socket.recv(60))
            assert '"type": "Error"' in answer and "SchemaError" in answer, message
        socket.send("")  # of old the same as CloseStream
        assert '"Metadata"' in str(socket.recv(60))
        with pytest.raises(ConnectionClosed, match="1000"):
            socket.recv(60)


def test_recordings(server: Server, recognizer: Recognizer) -> None:
    client = DeepgramClient(**client_options(server)).listen.v1.media
    data = (SAMPLES / "it.flac").read_bytes()
    answer: Any = client.transcribe_file(request=data, model="nova-3", language="it", utterances=True)
    expected = recognizer.transcribe(SAMPLES / "it.flac", language="it")
    [alternative] = answer.results.channels[0].alternatives
    assert alternative.transcript == expected.text
    assert [(word.punctuated_word, word.start, word.end) for word in alternative.words] == [
        (word.text, word.start, word.end) for word in expected.words
    ]
    assert [each.transcript for each in answer.results.utterances] == [each.text for each in expected.segments]
    assert answer.metadata.sha256 == hashlib.sha256(data).hexdigest()
    assert answer.metadata.duration == expected.duration
    answer = client.transcribe_file(request=data, detect_language=True)
    assert answer.results.channels[0].detected_language == recognizer.transcribe(SAMPLES / "it.flac").language
    raw = {"additional_query_parameters": {"sample_rate": 8000}}
    for request, options, message in (
        (b"no audio", {}, "not an audio file"),
        (data, {"redact": "pci"}, "redact"),
        (data, {"language": "xx"}, "language"),
        (
            data,
            {"encoding": "linear16", "request_options": raw},
            "raw",
        ),
    ):
        with pytest.raises(ApiError) as caught:
            client.transcribe_file(request=request, **options)
        assert caught.value.status_code == 400
        assert message in str(caught.value.body).lower()
    with pytest.raises(ApiError) as caught:
        client.transcribe_url(url="http://127.0.0.1/secret")
    assert caught.value.status_code == 400


def test_results_of_recordings(server: Server, recognizer: Recognizer, tmp_path: Path) -> None:
    client = DeepgramClient(**client_options(server)).listen.v1.media
    clips = [read_audio(SAMPLES / f"{name}.flac") for name in ("en", "de")]
    pause = np.zeros(3 * 16000, np.float32)
    path = encode(tmp_path / "a.flac", np.concatenate([clips[0], pause, clips[1]])[:, None], 16000, "flac")
    expected = recognizer.transcribe(path)
    border = (len(clips[0]) + len(pause) // 2) / 16000
    texts = [" ".join(w.text for w in expected.words if (w.start > border) is late) for late in (False, True)]
    query = texts[1].split()[:2]
    answer: Any = client.transcribe_file(
        request=path.read_bytes(), language="multi", utterances=True, utt_split=2, paragraphs=True,
        search=[" ".join(query).upper(), "klingon"],
    )  # fmt: skip
    channel = answer.results.channels[0]
    [alternative] = channel.alternatives
    assert alternative.transcript == expected.text
    assert channel.detected_language == expected.language
    assert set(alternative.languages) == {each.language for each in expected.segments}
    assert [word.language for word in alternative.words] == [s.language for s in expected.segments for _ in s.words]
    assert [each.transcript for each in answer.results.utterances] == texts
    assert [each.start for each in answer.results.utterances] == [
        next(word.start for word in expected.words if (word.start > border) is late) for late in (False, True)
    ]
    sentences = [each.text for part in alternative.paragraphs.paragraphs for each in part.sentences]
    assert sentences == [each.text for each in expected.segments]
    assert len(alternative.paragraphs.paragraphs) == 2
    hits, nothing = channel.search
    assert [hit.snippet for hit in hits.hits] == [" ".join(query)]
    assert hits.hits[0].start == answer.results.utterances[1].start
    assert nothing.hits == []


def test_channels_of_recordings(server: Server, recognizer: Recognizer, tmp_path: Path) -> None:
    english, german = (read_audio(SAMPLES / f"{name}.flac") for name in ("en", "de"))
    stereo = np.zeros((max(len(english), len(german)), 2), np.float32)
    stereo[: len(english), 0], stereo[: len(german), 1] = english, german
    path = encode(tmp_path / "a.wav", stereo, 16000, "pcm_s16le")
    client = DeepgramClient(**client_options(server)).listen.v1.media
    answer: Any = client.transcribe_file(
        request=path.read_bytes(), multichannel=True, utterances=True, detect_language=True
    )
    expected = [recognizer.transcribe(path, channels=channel) for channel in (0, 1)]
    assert [each.alternatives[0].transcript for each in answer.results.channels] == [each.text for each in expected]
    assert [each.detected_language for each in answer.results.channels] == [each.language for each in expected]
    assert {each.channel for each in answer.results.utterances} == {0, 1}
    assert answer.metadata.channels == 2
    assert not hasattr(answer.results.utterances[0], "speaker") or answer.results.utterances[0].speaker is None
    answer = client.transcribe_file(request=path.read_bytes(), multichannel=True, diarize=True, utterances=True)
    assert {(each.channel, each.speaker) for each in answer.results.utterances} == {(0, 0), (1, 1)}
    for number, channel in enumerate(answer.results.channels):
        assert {word.speaker for word in channel.alternatives[0].words} == {number}
    assert "warnings" not in answer.metadata.dict()
    assert len(client.transcribe_file(request=path.read_bytes()).results.channels) == 1


def test_words_are_replaced(server: Server, recognizer: Recognizer) -> None:
    words = [word.text for word in recognizer.transcribe(SAMPLES / "en.flac").words]
    client = DeepgramClient(**client_options(server)).listen.v1.media
    rules = [f"{words[1].upper()} {words[2]}:Legato", words[4], "klingon:x"]
    answer: Any = client.transcribe_file(request=(SAMPLES / "en.flac").read_bytes(), replace=rules)
    expected = [words[0], "Legato", words[3], *words[5:]]
    [alternative] = answer.results.channels[0].alternatives
    assert alternative.transcript == " ".join(expected)
    assert [word.punctuated_word for word in alternative.words] == expected


DEFAULTS_OF_CLIENTS = (
    "diarize=true&profanity_filter=true&paragraphs=true&numerals=true&dictation=true&utt_split=0.8&punctuate=true&"
    "smart_format=true&filler_words=true&no_delay=true&model=nova-3-general-2025-01-01&tag=a&mip_opt_out=true&"
    "replace=a:b&keyterm=%E2%98%83&language=de-AT"
)


def test_defaults_of_clients_never_refuse_the_connection(server: Server) -> None:
    with connect(f"{server.socket_url}/v1/listen?encoding=linear16&sample_rate=16000&{DEFAULTS_OF_CLIENTS}") as socket:
        socket.send('{"type": "CloseStream"}')
        assert json.loads(socket.recv(60))["type"] == "Metadata"
    data = (SAMPLES / "de.flac").read_bytes()
    answer = httpx.post(f"{server.url}/v1/listen?{DEFAULTS_OF_CLIENTS}", content=data, timeout=60).json()
    assert answer["results"]["channels"][0]["alternatives"][0]["transcript"]
    told = " ".join(answer["metadata"]["warnings"])
    for name in ("diarize", "profanity_filter", "numerals", "dictation", "\u2603"):
        assert name in told


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("encoding=linear16", "sample_rate"),
        ("encoding=linear16&sample_rate=9", "sample_rate"),
        ("encoding=linear16&sample_rate=nan", "sample_rate"),
        ("encoding=g729&sample_rate=8000", "encoding"),
        ("encoding=linear16&sample_rate=16000&channels=99", "channels"),
        ("encoding=linear16&sample_rate=16000&interim_results=maybe", "interim_results"),
        ("encoding=linear16&sample_rate=16000&endpointing=soon", "endpointing"),
        ("encoding=linear16&sample_rate=16000&language=xx", "language"),
        ("encoding=linear16&sample_rate=16000&redact=pci", "redact"),
        ("encoding=linear16&sample_rate=16000&callback=http%3A%2F%2Fexample.org", "callback"),
    ],
)
def test_what_cannot_be_done_is_refused(server: Server, query: str, name: str) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(f"{server.socket_url}/v1/listen?{query}"):
        pass
    response = caught.value.response
    assert response.status_code == 400
    assert name in response.headers["dg-error"]
    assert name in response.body.decode()


def test_keys(tmp_path: Path) -> None:
    with Server(tmp_path, LEGATO_API_KEYS="sesame") as server:
        url = f"{server.socket_url}/v1/listen?encoding=linear16&sample_rate=16000"
        with connect(url, subprotocols=["token", "sesame"]) as socket:  # type: ignore[list-item]
            assert socket.subprotocol == "token"
        offered: Any = ["realtime", "openai-insecure-api-key.sesame", "openai-beta.realtime-v1"]
        with connect(f"{server.socket_url}/v1/realtime?intent=transcription", subprotocols=offered) as socket:
            assert socket.subprotocol == "realtime"
            assert json.loads(socket.recv(60))["type"] == "transcription_session.created"
        options = client_options(server, "sesame")
        with DeepgramClient(**options).listen.v1.connect(model="nova-3", **LINEAR) as connection:
            connection.send_close_stream()
            assert connection.recv().type == "Metadata"
        refused = pytest.raises((ApiError, InvalidStatus), match="401")  # the client without asyncio lets it through
        with refused, DeepgramClient(**client_options(server, "wrong")).listen.v1.connect(model="nova-3", **LINEAR):
            pass
