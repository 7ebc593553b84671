"""The native protocol: the WebSocket, files event by event, and the formats."""

import base64
import contextlib
import json
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.connection import Connection
from websockets.typing import Subprotocol

import legato
from legato.audio.source import SAMPLE_RATE, read_audio
from legato.text.formats import WRITERS, event_as_dict
from tests.support.live import alike
from tests.support.paths import SAMPLES
from tests.support.server import Server


@pytest.fixture(scope="module")
def recognizer() -> legato.Recognizer:
    return legato.load("embedded", threads=1)


@pytest.fixture(scope="module")
def clip() -> NDArray[np.float32]:
    """Two languages, and a pause that ends a segment."""
    silence = np.zeros(SAMPLE_RATE * 3 // 2, np.float32)
    return np.concatenate([read_audio(SAMPLES / "de.flac"), silence, read_audio(SAMPLES / "it.flac"), silence])


@pytest.fixture(scope="module")
def first_word(recognizer: legato.Recognizer) -> str:
    """What the clip's text begins with."""
    return recognizer.transcribe(SAMPLES / "de.flac", language="de").words[0].text


def open_stream(server: Server, query: str = "", **more: Any) -> ClientConnection:
    return connect(f"{server.socket_url}/v1/stream{query}", **more)


def say(socket: Connection, kind: str, **values: object) -> None:
    socket.send(json.dumps({"type": kind, **values}))


def events(socket: Connection) -> list[dict[str, Any]]:
    """All events until the server closes."""
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(60)))
    except ConnectionClosed:
        return found


def texts(found: list[dict[str, Any]]) -> list[str]:
    return [each["text"] for each in found if each["type"] == "segment"]


def comparable(event: dict[str, Any]) -> dict[str, Any]:
    """An event without its confidences, whose last digits depend on how much is computed at a time."""
    words = [comparable(word) for word in event.get("words", [])]
    return {**{key: value for key, value in event.items() if key not in {"confidence", "words"}}, "words": words}


def test_the_same_events_as_in_the_library(
    server: Server, recognizer: legato.Recognizer, clip: NDArray[np.float32]
) -> None:
    pcm = (clip * 32767).astype("<i2")
    with recognizer.stream(endpoint=legato.Endpointing()) as stream:
        expected = stream.accept(pcm) + stream.finish()
    segments: list[dict[str, Any]] = [event_as_dict(each) for each in expected if isinstance(each, legato.Segment)]
    with open_stream(server) as socket:
        for start in range(0, len(pcm), 5000):
            socket.send(pcm[start : start + 5000].tobytes())
        say(socket, "end")
        ready, *found, final = events(socket)
    assert (ready["type"], ready["language"], ready["chunk_ms"]) == ("ready", "auto", 320)
    told = [comparable(each) for each in found if each["type"] == "segment"]
    assert told == [comparable(each) for each in segments]
    assert {each["language"] for each in segments} >= {"de-DE", "it-IT"}
    assert [each for each in found if each["type"] == "partial"]
    assert final["text"] == " ".join(each["text"] for each in segments if each["text"])
    assert final["language"] == segments[-1]["language"]
    assert final["duration"] == round(len(pcm) / SAMPLE_RATE, 3)


def test_options(server: Server, clip: NDArray[np.float32]) -> None:
    audio = clip.astype("<f4").tobytes()
    options = {"language": "de", "chunk_ms": 80, "encoding": "pcm_f32le", "endpoint": False}
    queried = "&".join(f"{name}={value}" for name, value in options.items())
    for query, first in (("", options), (f"?{queried}&phrases=null&phrases=zwei", None)):
        with open_stream(server, query) as socket:
            if first:
                say(socket, "start", phrases=["null", ["zwei", 1.0]], **first)
            ready = json.loads(socket.recv(60))
            assert (ready["language"], ready["chunk_ms"]) == ("de", 80)
            for start in range(0, len(audio), 99_999):  # cuts samples apart
                socket.send(audio[start : start + 99_999])
            say(socket, "end")
            assert len(texts(events(socket))) == 1


def test_the_text_of_the_end_is_that_of_all_segments(server: Server, recognizer: legato.Recognizer) -> None:
    pcm = (np.concatenate([read_audio(SAMPLES / "en.flac")] * 2) * 32767).astype("<i2")
    with recognizer.stream(endpoint=legato.Endpointing(after_speech=0.16), language="en") as stream:
        expected = stream.accept(pcm) + stream.finish()
    segments = [each for each in expected if isinstance(each, legato.Segment)]
    assert len(segments) > 2
    with open_stream(server, "?language=en&endpoint=0.16") as socket:
        socket.send(pcm.tobytes())
        say(socket, "end")
        final = events(socket)[-1]
    assert final["text"] == legato.join_segments(segments, duration=1.0).text
    assert final["language"] == "en-US"


def test_another_rate_and_channels(server: Server, recognizer: legato.Recognizer) -> None:
    slow = np.repeat(read_audio(SAMPLES / "en.flac"), 2)  # each sample in both channels
    with open_stream(server, "?language=en-US&channels=2") as socket:
        socket.send((slow * 32767).astype("<i2").tobytes())
        say(socket, "end")
        stereo = texts(events(socket))
    with open_stream(server, "?language=en-US&sample_rate=32000") as socket:
        socket.send((slow * 32767).astype("<i2").tobytes())
        say(socket, "end")
        fast = texts(events(socket))
    expected = recognizer.transcribe(SAMPLES / "en.flac", language="en-US").text
    assert alike(stereo[0], expected)
    assert alike(fast[0], expected)


def test_commit_and_language(server: Server) -> None:
    german, italian = (read_audio(SAMPLES / f"{name}.flac") for name in ("de", "it"))
    with open_stream(server, "?language=de-DE&endpoint=false") as socket:
        say(socket, "commit")
        socket.send((german * 32767).astype("<i2").tobytes())
        say(socket, "commit")
        say(socket, "commit")
        say(socket, "language", language="Klingon")
        say(socket, "language", language="it-IT")
        socket.send((italian * 32767).astype("<i2").tobytes())
        say(socket, "end")
        found = events(socket)
    [problem] = [each["error"] for each in found if each["type"] == "error"]
    assert "Klingon" in problem["message"]
    segments = [each for each in found if each["type"] == "segment"]
    assert [each["reason"] for each in segments] == ["commit", "commit", "commit", "end"]
    assert [bool(each["text"]) for each in segments] == [False, True, False, True]
    assert [segments[1]["language"], segments[3]["language"]] == ["de-DE", "it-IT"]


@pytest.mark.parametrize(
    ("message", "where"),
    [
        ("", ""),
        ("{", ""),
        ("[]", "What was sent must be a JSON object."),
        ('"end"', "What was sent must be a JSON object, not 'end'."),
        ("{}", "type: It must be 'commit', 'language' or 'end', not null."),
        ('{"type": "begin"}', "type: It must be 'commit', 'language' or 'end', not 'begin'."),
        ('{"type": 5}', "type: It must be 'commit', 'language' or 'end', not 5."),
        ('{"type": "end", "now": true}', "now: This field is not known. Send only type."),
        ('{"type": "commit", "wait": "maybe"}', "wait: It must be true or false, not 'maybe'."),
        ('{"type": "commit", "wait": "yes"}', "wait: It must be true or false, not 'yes'."),
        ('{"type": "language"}', "language: It is missing."),
        ('{"type": "language", "language": 5}', "language: It must be a text, not 5."),
        ('{"type": "language", "language": "\\ud800"}', ""),
        ("[" * 50_000, ""),
    ],
)
def test_a_wrong_message_is_reported_and_ignored(server: Server, message: str, where: str) -> None:
    with open_stream(server, "?language=en") as socket:
        assert json.loads(socket.recv(60))["type"] == "ready"
        socket.send(message)
        found = json.loads(socket.recv(60))
        assert found["type"] == "error"
        assert found["error"]["code"] == "invalid_value"
        assert where in found["error"]["message"]
        say(socket, "end")
        assert events(socket)[-1]["type"] == "final"
        assert socket.close_code == 1000


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("language=Klingon", "English (en-US)"),
        ("chunk_ms=100", "80, 160, 320"),
        ("chunk_ms=0", "80, 160, 320"),
        ("chunk_ms=long", "chunk_ms: It must be one of 80, 160, 320, 560, 1120, not 'long'."),
        ("sample_rate=1", "4000 to 192000"),
        ("sample_rate=x", "sample_rate: It must be a whole number, not 'x'."),
        ("channels=99", "1 to 16"),
        ("channels=0", "1 to 16"),
        ("encoding=mp3", "encoding: It must be 'pcm_s16le', 'pcm_f32le', 'mulaw' or 'alaw', not 'mp3'."),
        *(
            (
                f"endpoint={value}",
                f"endpoint: It must be true, false, or the seconds of a pause (above 0), not {value!r}.",
            )
            for value in ("maybe", "0.0", "-1", "nan", "")
        ),
        ("type=end", "type: It must be 'start' in a first message that is not audio, not 'end'."),
    ],
)
def test_options_that_are_none(server: Server, query: str, allowed: str) -> None:
    with open_stream(server, "?" + query) as socket:
        [found] = events(socket)
        assert allowed in found["error"]["message"]
        assert socket.close_code == 1008


@pytest.mark.parametrize("phrases", ["Ada", [["Ada"]], [["Ada", "high"]], [5]])
def test_phrases_that_are_none(server: Server, phrases: object) -> None:
    with open_stream(server) as socket:
        say(socket, "start", phrases=phrases)
        [found] = events(socket)
        assert "phrases: It must be a list of texts, or of pairs of a text and its weight" in found["error"]["message"]
        assert found["error"]["param"] == "phrases"


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [("de-AT", "de"), ("german", "de"), ("zh-HK", "zh-TW"), ("es-419", "es-US"), ("multi", "auto"), ("", "auto")],
)
def test_languages_by_look_up(server: Server, asked: str, prompt: str) -> None:
    with open_stream(server, f"?language={asked}") as socket:
        assert json.loads(socket.recv(60))["language"] == prompt


def test_a_hint_never_costs_the_stream(server: Server) -> None:
    with open_stream(server, "?phrases=%E2%98%83&phrases=" + "a" * 500) as socket:
        assert json.loads(socket.recv(60))["type"] == "ready"


def test_too_many_phrases(server: Server) -> None:
    with open_stream(server) as socket:
        say(socket, "start", phrases=["null"] * 1001)
        [found] = events(socket)
        assert found["error"]["code"] == "too_many_phrases"
    with pytest.raises(InvalidStatus, match="400"), open_stream(server, "?" + "phrases=null&" * 1001):
        pass  # such an address is too long
    with pytest.raises(InvalidStatus, match="400"), open_stream(server, additional_headers={"X-Long": "x" * 8200}):
        pass


def test_sounds_that_are_none(server: Server, clip: NDArray[np.float32], first_word: str) -> None:
    with open_stream(server, "?encoding=pcm_f32le&language=de") as socket:
        socket.send(np.full(1000, np.nan, "<f4").tobytes())
        socket.send(clip.astype("<f4").tobytes())
        say(socket, "end")
        _, problem, *found = events(socket)
    assert problem["type"] == "error"
    assert texts(found)[0].startswith(first_word)


def test_limits_and_the_end_of_the_server(tmp_path: Path, clip: NDArray[np.float32], first_word: str) -> None:
    with Server(tmp_path, "--max-streams", 1, "--idle-seconds", 3) as server:
        with open_stream(server, "?language=de") as idle:
            assert json.loads(idle.recv(60))["type"] == "ready"
            with open_stream(server, "?language=de") as second:
                [full] = events(second)
                assert full["error"]["code"] == "server_busy"
                assert second.close_code == 1013
            time.sleep(4)
            assert idle.ping().wait(60)  # a quiet client is not a dead one
        with open_stream(server, "?language=de&endpoint=false") as socket:
            socket.send((clip * 32767).astype("<i2").tobytes())
            while json.loads(socket.recv(60))["type"] != "partial":
                pass
            server.process.send_signal(signal.SIGTERM)
            found = events(socket)
            assert [each["type"] for each in found if each["type"] != "partial"] == ["segment", "final"]
            assert found[-1]["text"].startswith(first_word)
            assert socket.close_code == 1001


def test_keys_in_subprotocols(tmp_path: Path) -> None:
    key = "a/key+with=signs"
    encoded = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    with Server(tmp_path, LEGATO_API_KEYS=f"{key},simple") as server:
        for offered in (["legato", f"legato-api-key.{encoded}"], ["token", "simple"]):
            with open_stream(server, "?language=de", subprotocols=[Subprotocol(each) for each in offered]) as socket:
                assert socket.subprotocol == offered[0]
                assert json.loads(socket.recv(60))["type"] == "ready"
        for name in ("legato-api-key.%%%", "legato-api-key.c2ltcGx", "legato-api-key."):
            with pytest.raises(InvalidStatus, match="401"), open_stream(server, subprotocols=[Subprotocol(name)]):
                pass


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
_NAMES = ("language", "chunk_ms", "encoding", "sample_rate", "channels", "endpoint", "phrases")
_FIELDS = st.fixed_dictionaries({"type": st.just("start")}, optional=dict.fromkeys(_NAMES, _VALUES))
_KNOWN = st.sampled_from([*(json.dumps({"type": kind}) for kind in ("start", "commit", "end")), "{}", "null"])
_MESSAGES = st.binary(max_size=3000) | st.text(max_size=50) | _KNOWN | (_FIELDS | _VALUES).map(json.dumps)


@settings(max_examples=60)
@given(messages=st.lists(_MESSAGES, max_size=8))
def test_whatever_is_sent_is_answered(server: Server, messages: list[str | bytes]) -> None:
    with open_stream(server) as socket:
        with contextlib.suppress(ConnectionClosed):
            for message in [*messages, json.dumps({"type": "end"})]:
                socket.send(message)
        found = events(socket)
    assert {each["type"] for each in found} <= {"ready", "partial", "segment", "final", "error"}
    assert socket.close_code in {1000, 1008}
    assert found[-1]["type"] == ("final" if socket.close_code == 1000 else "error")
    assert all(each["error"]["type"] == "invalid_request_error" for each in found if each["type"] == "error")


def test_choices(server: Server) -> None:
    choices = httpx.get(f"{server.url}/v1/stream").json()
    assert choices["languages"] == ["auto", "de-DE", "en-US", "es-ES", "fr-FR", "hi-IN", "it-IT", "ja-JP"]
    assert choices["chunk_ms"] == [80, 160, 320, 560, 1120]
    assert choices["formats"] == list(WRITERS)


def post(server: Server, content: bytes, **fields: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/stream", data=fields, files={"file": ("a.flac", content)}, timeout=60)


def test_files(server: Server, recognizer: legato.Recognizer) -> None:
    content = (SAMPLES / "fr.flac").read_bytes()
    answer = post(server, content, language="fr-FR")
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert {each["type"] for each in found[:-1]} == {"partial", "segment"}
    expected = recognizer.transcribe(SAMPLES / "fr.flac", language="fr-FR", endpoint=legato.Endpointing())
    assert texts(found) == [each.text for each in expected.segments] != []
    assert (found[-1]["type"], found[-1]["text"]) == ("final", expected.text)
    whole = [json.loads(line) for line in post(server, content, endpoint="false").text.splitlines()]
    assert " ".join(texts(whole)) == whole[-1]["text"] != ""


def test_options_of_a_file_may_be_in_the_query(server: Server) -> None:
    content = (SAMPLES / "fr.flac").read_bytes()
    form = post(server, content, language="fr-FR", endpoint="false").text
    files = {"file": ("a.flac", content)}
    options = {"language": "fr-FR", "endpoint": "false"}
    assert httpx.post(f"{server.url}/v1/stream", params=options, files=files, timeout=60).text == form
    options["endpoint"] = "true"  # the form has the last word
    fields = {"endpoint": "false"}
    assert httpx.post(f"{server.url}/v1/stream", params=options, data=fields, files=files, timeout=60).text == form
    answer = httpx.post(f"{server.url}/v1/stream?mode=x", files=files)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "mode")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x1aE\xdf\xa3", "WebM"),
        (b"OggS\0\2", "Ogg"),
        (b"fLaC", "FLAC"),
        (b"\0\0\0\x20ftypM4A ", "M4A"),
        (b"ID3\4", "MP3"),
    ],
)
def test_a_file_with_a_container_is_not_taken_for_samples(server: Server, head: bytes, name: str) -> None:
    with connect(server.socket_url + "/v1/stream") as socket:
        for part in (head + bytes(1000), bytes(1000)):
            socket.send(part)
        socket.send('{"type": "end"}')
        found = [json.loads(text) for text in socket]
    assert [each["type"] for each in found] == ["ready", "error", "error", "final"]
    assert all(name in each["error"]["message"] for each in found[1:3])
    assert found[-1]["duration"] == 0


def test_a_language_that_the_model_was_not_trained_on_is_told(server: Server) -> None:
    *_, final = (
        json.loads(line) for line in post(server, (SAMPLES / "fr.flac").read_bytes(), language="ru").text.splitlines()
    )
    assert "not trained on Russian (ru)" in final["warnings"][0]
    with connect(server.socket_url + "/v1/stream?language=Russian") as socket:
        assert "not trained on Russian (ru" in json.loads(socket.recv())["warnings"][0]


def test_files_that_are_none(server: Server) -> None:
    answer = post(server, b"no audio", language="fr-FR")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")
    for fields, name in (
        ({"language": "Klingon"}, "language"),
        ({"chunk_ms": "1"}, "chunk_ms"),
        ({"mode": "x"}, "mode"),
    ):
        answer = post(server, b"", **fields)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)
    assert httpx.post(f"{server.url}/v1/stream", files={"text": (None, "x")}).json()["error"]["param"] == "file"
    assert httpx.post(f"{server.url}/v1/stream", content=b"x").status_code == 415


@pytest.mark.parametrize("name", WRITERS)
def test_formats(server: Server, recognizer: legato.Recognizer, clip: NDArray[np.float32], name: str) -> None:
    with recognizer.stream(endpoint=legato.Endpointing()) as stream:
        found = stream.accept(clip) + stream.finish()
    segments = [each for each in found if isinstance(each, legato.Segment)]
    transcript = legato.join_segments(segments, duration=segments[-1].end)
    body = {"segments": [event_as_dict(each) for each in segments], "file": "talk.mp3"}
    answer = httpx.post(f"{server.url}/v1/formats/{name}", json=body, timeout=60)
    expected = WRITERS[name](transcript, model="embedded", file="talk.mp3")
    if name == "json":  # tokens are no part of an event
        assert answer.json() == {**json.loads(expected), "tokens": []}
    else:
        assert answer.text == expected


def test_formats_of_segments_without_words(server: Server) -> None:
    segments = [
        {"text": "Hello you.", "start": 1, "end": 2},
        {"text": "東京", "start": 2, "end": 3},
        {"text": "", "start": 3, "end": 4},
    ]
    order = [segments[1], segments[0], segments[2]]
    client = httpx.Client(base_url=f"{server.url}/v1/formats", timeout=60)
    body = {"segments": segments}
    assert client.post("/ctm", json=body).text == (
        "- 1 1.000 0.500 Hello 1.0000\n- 1 1.500 0.500 you. 1.0000\n"
        "- 1 2.000 0.500 東 1.0000\n- 1 2.500 0.500 京 1.0000\n"
    )
    assert client.post("/ctm", json={"segments": order}).text == client.post("/ctm", json=body).text
    unknown = [{**each, "confidence": None} for each in segments]
    assert client.post("/ctm", json={"segments": unknown}).text.startswith("- 1 1.000 0.500 Hello\n")
    named = [{**each, "speaker": f"channel {number}"} for number, each in enumerate(segments)]
    assert "channel 1: 東京" in client.post("/txt", json={"segments": named}).text
    assert "channel 0: Hello you." in client.post("/srt", json={"segments": named}).text
    for name in ("srt", "vtt", "ass"):
        text = client.post(f"/{name}", json=body).text
        assert "Hello you." in text
        assert "東京" in text


def test_a_corrected_text_is_written_whatever_its_words_are(server: Server) -> None:
    words = [{"text": "Hallo", "start": 1, "end": 1.2}, {"text": "yuo.", "start": 1.4, "end": 2}]
    heard = {"text": "Hallo yuo.", "start": 1, "end": 2, "words": words}
    client = httpx.Client(base_url=f"{server.url}/v1/formats", timeout=60)
    assert "1.400 0.600 yuo." in client.post("/ctm", json={"segments": [heard]}).text
    corrected = {"segments": [{**heard, "text": "Hello you."}]}
    assert client.post("/ctm", json=corrected).text == "- 1 1.000 0.500 Hello 1.0000\n- 1 1.500 0.500 you. 1.0000\n"
    assert "Hello you.\n" in client.post("/srt", json=corrected).text


def test_formats_of_what_is_none(server: Server) -> None:
    client = httpx.Client(base_url=f"{server.url}/v1/formats", timeout=60)
    word = {"text": "a", "start": 0, "end": 1}
    body = {"segments": [{**word, "words": [word]}]}
    assert client.post("/srt:lead=0", json=body).text == "1\n00:00:00,000 --> 00:00:02,000\na\n"
    assert client.post("/srt:color=red", json=body).status_code == 400
    assert client.post("/txt:words", json=body).status_code == 404
    for segment in (
        {}, {"text": "a"}, {"text": "a", "start": 0, "end": "x"}, {"text": "a", "start": -1, "end": 1},
        {"text": "a", "start": 0, "end": 1, "words": [{**word, "text": ""}]},
        {"text": "a", "start": 0, "end": 1, "words": [{**word, "confidence": 2}]},
        {"text": "a", "start": 2, "end": 1}, {**word, "words": [{**word, "start": 2}]},
    ):  # fmt: skip
        answer = client.post("/srt", json={"segments": [segment]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_value")
    assert answer.json()["error"]["message"] == "segments.0.words.0.end: It must be at least its start, 2, not 1."
    for words in ([word], [word, word], [{**word, "text": "not in the text"}], []):
        body = {"segments": [{"text": "a", "start": 0, "end": 1, "words": words}]}
        for name in WRITERS:
            assert client.post(f"/{name}", json=body).status_code == 200
    body = {"segments": [{**word, "confidence": None, "words": [{**word, "confidence": None}]}]}
    values = client.post("/json", json=body).json()
    assert [each["confidence"] for each in values["segments"] + values["words"]] == [None, None]
    assert client.post("/ctm", json=body).text == "- 1 0.000 1.000 a\n"
    assert client.post("/exe", json={"segments": []}).status_code == 404
    assert client.post("/srt", content=b" " * 20_000_001).status_code == 413


def test_only_the_page_is_given_out(server: Server) -> None:
    client = httpx.Client(base_url=server.url)
    page = client.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    again = client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for path in (
        "../page.py", "%2e%2e/page.py", "..%2fpage.py", "%2fetc%2fpasswd", "", ".", "page.js%00", "web/page.js",
        "index.html", "....//page.py", "%5c..%5cpage.py",
    ):  # fmt: skip
        assert client.get(f"{server.url}/static/{path}").status_code == 404, path
