"""OpenAI's transcription interface, through the official client."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from openai.types.audio import TranscriptionDiarized, TranscriptionVerbose

import legato
from legato.audio.source import read_audio
from legato.model.languages import english_name
from legato.serve import Settings, create_app
from legato.serve.core.hints import prompt_terms, spellable
from legato.text.formats import to_txt
from legato.text.subtitles import to_srt, to_vtt
from tests.support.paths import DATA
from tests.support.paths import SAMPLES as PACKAGED
from tests.support.server import Server
from tests.support.sounds import encode, tone

CLIPS = sorted((DATA / "numbers").glob("*.flac"))
SAMPLES = sorted(PACKAGED.glob("*.flac"))


@pytest.fixture(scope="module")
def recognizer() -> legato.Recognizer:
    return legato.load("embedded", threads=1)


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)


def post(
    server: Server, content: bytes | None, /, name: str = "a.wav", url: str = "/v1/audio/transcriptions", **fields: Any
) -> httpx.Response:
    files = None if content is None else {"file": (name, content)}
    return httpx.post(server.url + url, data={"model": "whisper-1", **fields}, files=files, timeout=60)


def error(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    assert "Traceback" not in found["message"]
    return found


def test_models(client: openai.OpenAI) -> None:
    [model] = client.models.list().data
    assert client.models.retrieve(model.id).id == model.id
    assert client.models.retrieve("whisper-1").id == "whisper-1"
    for name in ("whisper-2", "../../etc/passwd", "src/legato/assets/embedded"):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(name)


@pytest.mark.parametrize(
    ("name", "codec", "sample_format", "rate"),
    [
        ("a.wav", "pcm_s16le", "s16", 48000),
        ("a.wav", "pcm_mulaw", "s16", 8000),
        ("a.mp3", "libmp3lame", "s16p", 44100),
        ("a.ogg", "libopus", "s16", 48000),
        ("a.webm", "libopus", "s16", 48000),
        ("a.m4a", "aac", "fltp", 44100),
        ("a.flac", "flac", "s16", 16000),
    ],
)
def test_codecs(
    client: openai.OpenAI, recognizer: legato.Recognizer, tmp_path: Path, name: str, codec: str,
    sample_format: str, rate: int,
) -> None:  # fmt: skip
    speech = read_audio(SAMPLES[0])[:, None]
    if rate != 16000:
        repeated = np.interp(
            np.arange(len(speech) * rate // 16000) * 16000 / rate, np.arange(len(speech)), speech[:, 0]
        )
        speech = repeated.astype(np.float32)[:, None]
    path = encode(tmp_path / name, speech, rate, codec, sample_format)
    expected = recognizer.transcribe(path)
    assert expected.text
    assert client.audio.transcriptions.create(file=path, model="whisper-1").text == expected.text
    # What a client calls its file does not matter.
    with path.open("rb") as file:
        assert client.audio.transcriptions.create(file=("noname", file), model="whisper-1").text == expected.text


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_response_formats(client: openai.OpenAI, recognizer: legato.Recognizer, sample: Path) -> None:
    expected = recognizer.transcribe(sample, language=sample.stem)

    def ask(**fields: Any) -> Any:
        return client.audio.transcriptions.create(file=sample, model="whisper-1", language=sample.stem, **fields)

    plain = ask()
    assert plain.text == expected.text
    assert plain.usage.seconds == pytest.approx(expected.duration, abs=0.001)
    assert ask(response_format="text") == to_txt(expected)
    assert ask(response_format="srt") == to_srt(expected)
    assert ask(response_format="vtt") == to_vtt(expected)
    verbose = ask(response_format="verbose_json")
    assert isinstance(verbose, TranscriptionVerbose)
    assert (verbose.text, verbose.language) == (expected.text, english_name(expected.language or ""))
    assert verbose.to_dict()["language_code"] == expected.language
    assert [each.code for each in plain.languages] == [sample.stem]
    assert verbose.words is None
    assert verbose.segments is not None
    assert [(each.text, each.start, each.end) for each in verbose.segments] == [
        (each.text, each.start, each.end) for each in expected.segments
    ]
    assert all(each.avg_logprob <= 0 for each in verbose.segments)
    words = ask(response_format="verbose_json", timestamp_granularities=["word"])
    assert words.segments is None
    assert [(each.word, each.start, each.end) for each in words.words] == [
        (each.text, each.start, each.end) for each in expected.words
    ]
    both = ask(response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert both.words == words.words
    assert both.segments == verbose.segments


def test_server_sent_events(client: openai.OpenAI, recognizer: legato.Recognizer) -> None:
    sample = SAMPLES[0]
    expected = recognizer.transcribe(sample).text
    events = list(client.audio.transcriptions.create(file=sample, model="whisper-1", stream=True, include=["logprobs"]))
    *deltas, done = events
    assert len(deltas) > 1
    assert all(each.type == "transcript.text.delta" for each in deltas)
    assert "".join(each.delta for each in deltas if each.type == "transcript.text.delta") == expected
    assert done.type == "transcript.text.done"
    assert done.text == expected
    assert done.logprobs is not None
    assert "".join(each.token or "" for each in done.logprobs).strip() == expected


def true_log_probs(recognizer: legato.Recognizer, path: Path, transcript: legato.Transcript) -> list[float]:
    """The log-probabilities of a transcript's tokens, from the joint's logits at the frame that emitted each."""
    frames = recognizer.encode(read_audio(path))
    transducer = recognizer.pipeline.decoder.transducer
    h, c = transducer.initial(1)
    prediction, h, c = transducer.predict(np.array([transducer.blank]), h, c)
    found = []
    for token in transcript.tokens:
        logits = transducer.join(frames[None, token.frame, None], prediction)[0, 0].astype(np.float64)
        found.append(logits[token.id] - np.log(np.exp(logits - logits.max()).sum()) - logits.max())
        prediction, h, c = transducer.predict(np.array([token.id]), h, c)
    return found


@pytest.mark.parametrize("measure", ["max_prob", "entropy"])
def test_log_probabilities(recognizer: legato.Recognizer, measure: Any) -> None:
    """They are those of the model, whatever measure its confidence uses."""
    sample = SAMPLES[[path.stem for path in SAMPLES].index("en")]
    transcript = recognizer.transcribe(sample)
    measured = legato.load("embedded", threads=1, confidence=legato.Confidence(measure))
    expected = true_log_probs(recognizer, sample, transcript)
    assert np.mean(expected) == pytest.approx(-0.05, abs=0.02)

    async def run() -> tuple[dict[str, Any], dict[str, Any]]:
        app = create_app(measured, Settings())
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            answers = [
                await client.post(
                    "/v1/audio/transcriptions", data={"model": "whisper-1", **form}, files={"file": sample.read_bytes()}
                )
                for form in ({"include[]": "logprobs"}, {"response_format": "verbose_json"})
            ]
        app.state.service.engine.close()
        return answers[0].json(), answers[1].json()

    listed, verbose = asyncio.run(run())
    assert "".join(each["token"] for each in listed["logprobs"]).strip() == transcript.text
    tags = recognizer.bundle.language_tags
    spoken = [value for token, value in zip(transcript.tokens, expected, strict=True) if token.id not in tags]
    np.testing.assert_allclose([each["logprob"] for each in listed["logprobs"]], spoken, atol=1e-3)
    for segment in verbose["segments"]:
        assert segment["tokens"] == [token.id for token in transcript.tokens]
        assert segment["avg_logprob"] == pytest.approx(np.mean(expected), abs=1e-3)


def test_pauses_make_segments(client: openai.OpenAI, recognizer: legato.Recognizer, tmp_path: Path) -> None:
    speech, pause = read_audio(SAMPLES[0]), np.zeros(24000, np.float32)
    path = encode(tmp_path / "a.wav", np.concatenate([speech, pause, speech, pause])[:, None], 16000, "pcm_s16le")
    rules = legato.Endpointing(after_speech=0.6, without_speech=float("inf"), longest=float("inf"))
    expected = recognizer.transcribe(path, endpoint=rules)
    assert len(expected.segments) == 2
    strategy: Any = {"type": "server_vad", "silence_duration_ms": 600}
    forms: list[Any] = [strategy, json.dumps(strategy)]
    for given in forms:
        result = client.audio.transcriptions.create(
            file=path, model="whisper-1", response_format="verbose_json", chunking_strategy=given
        )
        assert result.segments is not None
        assert [each.text for each in result.segments] == [each.text for each in expected.segments]
    *deltas, done = client.audio.transcriptions.create(
        file=path, model="whisper-1", stream=True, chunking_strategy=strategy
    )
    assert done.type == "transcript.text.done"
    assert "".join(each.delta for each in deltas if each.type == "transcript.text.delta") == done.text == expected.text


def test_a_prompt_gives_phrases(server: Server, recognizer: legato.Recognizer) -> None:
    plain = {clip: recognizer.transcribe(clip).text for clip in CLIPS[::4]}
    terms = sorted({word for text in plain.values() for word in text.split()})
    boosted = ((clip, recognizer.transcribe(clip, phrases=[(term, 10.0) for term in terms]).text) for clip in plain)
    clip, text = next((clip, text) for clip, text in boosted if text != plain[clip])
    data = clip.read_bytes()
    for fields in ({"prompt": ", ".join(f"{term}=10" for term in terms)}, {"keywords[]": [f"{t}=10" for t in terms]}):
        assert post(server, data, **fields).json()["text"] == text
    assert post(server, data).json()["text"] == plain[clip]


@pytest.mark.parametrize("hint", ["x" * 300, "東京", "@@@", "Москва", "C++"])
def test_a_hint_never_costs_the_transcript(server: Server, recognizer: legato.Recognizer, hint: str) -> None:
    data, expected = SAMPLES[0].read_bytes(), recognizer.transcribe(SAMPLES[0]).text
    for fields in ({"prompt": hint}, {"keywords[]": [hint]}):
        answer = post(server, data, **fields)
        assert answer.status_code == 200, answer.text
        assert answer.json()["text"] == expected
        [warning] = answer.json()["warnings"]
        assert hint[:20] in warning
    # The hints beside it stay in force.
    clip = CLIPS[0]
    terms = [f"{word}=10" for word in recognizer.transcribe(CLIPS[4]).text.split()]
    given: list[dict[str, Any]] = [{"keywords[]": terms}, {"keywords[]": [*terms, hint]}]
    alone, together = (post(server, clip.read_bytes(), **fields).json() for fields in given)
    assert together["text"] == alone["text"]


@pytest.mark.parametrize(
    ("hint", "spelled"),
    [("GPT-4", "gpt four"), ("Node.js 20", "node js twenty"), ("Room 42", "room forty two"), ("A.I. 5", "a i five")],
)
def test_hints_are_respelled(recognizer: legato.Recognizer, hint: str, spelled: str) -> None:
    found, warnings = spellable([hint, (hint, 3.0)], recognizer.bundle.pieces)
    assert found == [spelled, (spelled, 3.0)]
    assert warnings == [f"The term {hint!r} was taken as {spelled!r}, which the model can spell."] * 2
    assert spellable([spelled], recognizer.bundle.pieces) == ([spelled], [])


@pytest.mark.parametrize(
    ("prompt", "terms"),
    [
        ("Legato, ONNX Runtime", ["Legato", "ONNX Runtime"]),
        ("Legato=3; ONNX\nFFmpeg", ["Legato=3", "ONNX", "FFmpeg"]),
        ("Glossary: Kubernetes, Golden Gate Bridge.", ["Kubernetes", "Golden Gate Bridge"]),
        ("The talk is about Kubernetes and the Golden Gate Bridge.", ["Kubernetes", "Golden Gate Bridge"]),
        ("It features Dr. Ada Lovelace, and GPT-4.", ["Dr Ada Lovelace", "GPT-4"]),
        ("Umm, let me think like, hmm... here's what I'm, like, thinking.", []),
        ("so this is a long sentence of prose without a name", []),
        ("", []),
    ],
)
def test_terms_of_a_prompt(prompt: str, terms: list[str]) -> None:
    assert prompt_terms(prompt) == terms


def test_what_is_merely_useless_is_accepted(client: openai.OpenAI, recognizer: legato.Recognizer) -> None:
    expected = recognizer.transcribe(SAMPLES[0])

    def ask(**fields: Any) -> Any:
        return client.audio.transcriptions.create(file=SAMPLES[0], **{"model": "whisper-1", **fields})

    for fields in (
        {"timestamp_granularities": ["word"]},
        {"temperature": 1.5},
        {"model": "gpt-4o-mini-transcribe-2025-12-15"},
        {"language": ""},
        {"extra_body": {"languages": ["en", "de"]}},
        {"extra_body": {"language": "multi"}},
        {"include": ["logprobs"], "response_format": "json"},
    ):
        assert ask(**fields).text == expected.text, fields
    assert ask(response_format="text", include=["logprobs"]) == to_txt(expected)
    assert post_text(client, stream="true", response_format="srt") == to_srt(expected)
    told = ask(extra_body={"known_speaker_names[]": "Ada"}).to_dict()
    assert "known_speaker_names" in told["warnings"][0]


def post_text(client: openai.OpenAI, **fields: str) -> str:
    """The body of an answer to the first sample."""
    url = f"{client.base_url}audio/transcriptions"
    files = {"file": SAMPLES[0].read_bytes()}
    return httpx.post(url, data={"model": "whisper-1", **fields}, files=files, timeout=60).text


@pytest.mark.parametrize(("asked", "code"), [("de-AT", "de"), ("german", "de"), ("en-AU", "en"), ("DE_de", "de-DE")])
def test_languages_by_look_up(recognizer: legato.Recognizer, client: openai.OpenAI, asked: str, code: str) -> None:
    sample = next(path for path in SAMPLES if path.stem == code[:2])
    expected = recognizer.transcribe(sample, language=code)
    result = client.audio.transcriptions.create(
        file=sample, model="whisper-1", language=asked, response_format="verbose_json"
    )
    assert result.text == expected.text
    assert result.language == english_name(code)


def test_speakers_by_channel(client: openai.OpenAI, recognizer: legato.Recognizer, tmp_path: Path) -> None:
    german, english = (read_audio(PACKAGED / f"{name}.flac") for name in ("de", "en"))
    stereo = np.zeros((len(german) + len(english), 2), np.float32)
    stereo[: len(german), 0] = german
    stereo[len(german) :, 1] = english
    path = encode(tmp_path / "call.wav", stereo, 16000, "pcm_s16le")
    expected = recognizer.transcribe(path, channels="split")
    assert {each.speaker for each in expected.segments} == {"channel 0", "channel 1"}
    spoken = [(each.speaker == "channel 1", each.text, each.start, each.end) for each in expected.segments]

    def ask(**fields: Any) -> Any:
        return client.audio.transcriptions.create(
            file=path, model="gpt-4o-transcribe-diarize", response_format="diarized_json", **fields
        )

    result = ask()
    assert isinstance(result, TranscriptionDiarized)
    assert [(each.speaker == "B", each.text, each.start, each.end) for each in result.segments] == spoken
    assert result.text == expected.text
    *segments, done = ask(stream=True)
    assert [(each.speaker == "B", each.text, each.start, each.end) for each in segments] == spoken
    assert done.text == expected.text


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": "/etc/passwd"}, 404, "model"),
        ({"model": ""}, 400, "model"),
        ({"language": "klingon"}, 400, "language"),
        ({"response_format": "docx"}, 400, "response_format"),
        ({"response_format": "verbose_json", "timestamp_granularities[]": "page"}, 400, "timestamp_granularities[]"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"temperature": "nan"}, 400, "temperature"),
        ({"stream": "maybe"}, 400, "stream"),
        ({"include[]": "everything"}, 400, "include[]"),
        ({"chunking_strategy": "["}, 400, "chunking_strategy"),
        ({"chunking_strategy[type]": "other"}, 400, "chunking_strategy"),
        ({"chunk_ms": "100"}, 400, "chunk_ms"),
    ],
)
def test_fields_that_are_wrong(server: Server, fields: dict[str, str], status: int, param: str) -> None:
    answer = post(server, SAMPLES[0].read_bytes(), **fields)
    assert answer.status_code == status, answer.text
    assert error(answer)["param"] == param


def test_files_that_are_wrong(server: Server, tmp_path: Path) -> None:
    video = b"\x00\x00\x00\x18ftypmp42" + bytes(1000)
    for content, words in (
        (b"", "empty"),
        (b"hello, world\n" * 100, "not an audio file"),
        (video, "the index of this MP4 is missing"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "not an audio file"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", ""),
    ):
        for stream in ("false", "true"):
            answer = post(server, content, stream=stream)
            assert answer.status_code == 400, (content[:20], answer.text)
            found = error(answer)
            assert words in found["message"]
            assert found["param"] == "file"
            assert "root:" not in answer.text
    assert error(post(server, None))["message"]
    url = f"{server.url}/v1/audio/transcriptions"
    assert httpx.post(url, json={"model": "whisper-1"}).status_code == 415
    assert httpx.post(url, content=b"x", headers={"Content-Type": "multipart/form-data"}).status_code == 400
    broken = {"Content-Type": "multipart/form-data; boundary=b"}
    assert httpx.post(url, content=b"--b\r\nnonsense", headers=broken).status_code == 400
    two = [("file", ("a", b"1")), ("file", ("b", b"2"))]
    assert httpx.post(url, files=two, data={"model": "whisper-1"}).status_code == 400


def test_a_damaged_file_is_told(server: Server, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wav", tone(3, 16000), 16000, "pcm_s16le")
    answer = post(server, path.read_bytes()[:40000])
    assert answer.status_code == 200
    assert "cut off" in answer.json()["warnings"][0]


def test_translations_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="not supported"):
        client.audio.translations.with_raw_response.create(file=SAMPLES[0], model="whisper-1")


def test_names_are_only_names(server: Server, recognizer: legato.Recognizer, tmp_path: Path) -> None:
    expected = recognizer.transcribe(SAMPLES[0]).text
    target = tmp_path / "written"
    for name in (f"../../../../../../{target}", str(target), "..\\..\\a.wav", "a\x00b.wav", "/etc/passwd", "x" * 3000):
        answer = post(server, SAMPLES[0].read_bytes(), name=name)
        assert answer.status_code == 200, answer.text
        assert answer.json()["text"] == expected
        assert not target.exists()


def test_many_uploads_at_a_time_are_never_mixed_up(server: Server, recognizer: legato.Recognizer) -> None:
    expected = {clip: recognizer.transcribe(clip).text for clip in CLIPS}
    assert len(set(expected.values())) > len(CLIPS) / 2  # they say different things

    async def run() -> list[tuple[Path, str]]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
            places = asyncio.Semaphore(12)

            async def one(clip: Path, stream: bool) -> tuple[Path, str]:
                async with places:
                    if not stream:
                        return clip, (await client.audio.transcriptions.create(file=clip, model="whisper-1")).text
                    text = ""
                    async for event in await client.audio.transcriptions.create(
                        file=clip, model="whisper-1", stream=True
                    ):
                        text += event.delta if event.type == "transcript.text.delta" else ""
                    return clip, text

            return await asyncio.gather(*map(one, CLIPS, cycle([False, True])))

    for clip, text in asyncio.run(run()):
        assert text == expected[clip], clip.name


def endless(head: bytes) -> Iterator[bytes]:
    """A body without an end."""
    yield head
    while True:
        yield bytes(10_000)


def test_uploads_are_stopped_while_they_arrive(tmp_path: Path) -> None:
    kind = "multipart/form-data; boundary=b"
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    with Server(tmp_path, "--max-upload-mb", 1) as server:
        url = f"{server.url}/v1/audio/transcriptions"
        # Without a length what comes is counted: this would never end otherwise.
        answer = httpx.post(url, content=endless(head), headers={"Content-Type": kind}, timeout=60)
        assert answer.status_code == 413
        assert error(answer)["code"] == "file_too_large"
        # With a length nothing has to come at all.
        request = f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(f"{request}Content-Length: 1000001\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
        assert post(server, bytes(900_000)).status_code == 400  # not audio, but not too large
        assert httpx.get(f"{server.url}/ready").status_code == 200


def test_uploads_that_stop_are_given_up(tmp_path: Path) -> None:
    with Server(tmp_path, "--idle-seconds", 3) as server:
        request = "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(f"{request}Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_bombs_are_cut_off(tmp_path: Path) -> None:
    """Much silence in few bytes."""
    path = encode(tmp_path / "a.flac", np.zeros((16000 * 1200, 1), np.float32), 16000, "flac")
    assert path.stat().st_size < 500_000
    # Once more without the length in its header, as an endless recording has it.
    data = bytearray(path.read_bytes())
    assert data[:4] == b"fLaC"
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    with Server(tmp_path, "--max-audio-minutes", 0.1) as server:
        for content in (path.read_bytes(), bytes(data)):
            for stream in ("false", "true"):
                answer = post(server, content, stream=stream)
                if stream == "true" and answer.status_code == 200:  # it had begun already
                    assert "audio_too_long" in answer.text
                else:
                    assert answer.status_code == 413
                    assert error(answer)["code"] == "audio_too_long"


def test_a_client_that_leaves_frees_its_place(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.flac", np.zeros((16000 * 1800, 1), np.float32), 16000, "flac")
    with Server(tmp_path, "--max-files", 1) as server:
        for stream in ("false", "true"):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(
                    f"{server.url}/v1/audio/transcriptions",
                    data={"model": "whisper-1", "stream": stream},
                    files={"file": path.read_bytes()},
                    timeout=httpx.Timeout(60, read=0.5),
                )
        # Nobody waits for half an hour of audio twice before this one.
        assert post(server, SAMPLES[0].read_bytes()).status_code == 200
        assert server.stop() == 0
        assert [each["seconds"] < 10 for each in server.logs("file")] == [True]


def test_too_many_files_are_refused_and_the_others_unharmed(tmp_path: Path, recognizer: legato.Recognizer) -> None:
    path = encode(tmp_path / "a.wav", read_audio(SAMPLES[0])[:, None].repeat(1, 1), 16000, "pcm_s16le")
    expected = recognizer.transcribe(path).text
    with Server(tmp_path, "--max-files", 1, "--max-waiting", 1) as server:
        answers: list[httpx.Response] = []
        data = path.read_bytes()
        threads = [threading.Thread(target=lambda: answers.append(post(server, data))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert len(done) + len(refused) == 12
        assert done
        assert all(answer.json()["text"] == expected for answer in done)
        assert all(answer.headers["Retry-After"] for answer in refused)
        # With its usual retries the official client gets through.
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused")
        assert client.audio.transcriptions.create(file=path, model="whisper-1").text == expected
