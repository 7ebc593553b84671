"""One client that floods the server does not starve the others, and is held to its budget."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

import legato
from legato.engine.mailbox import Mailbox
from legato.recognizer import Recognizer
from legato.serve.core import aside
from legato.serve.core.aside import Aside
from legato.serve.core.held import Held
from legato.serve.core.hints import compile_spellable
from legato.serve.core.options import compile_hints
from legato.serve.core.pace import Pace
from legato.serve.errors import ApiError, InvalidValueError, NoRoomError, TooLongError
from legato.serve.settings import Settings
from legato.streaming.controls import Commit, SetLanguage
from tests.support.floods import ATTACKS, attacked
from tests.support.live import clip, pcm, pieces
from tests.support.server import Server

_SECONDS = 2.0


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("flooded"), "--idle-seconds", 3) as running:
        yield running


def _said(url: str) -> str:
    """The text of a clip that is sent as fast as the server takes it."""
    with connect(f"{url}/v1/stream?language=en", open_timeout=60) as stream:
        for part in pieces(pcm(clip("en"))):
            stream.send(part)
        stream.send('{"type": "end"}')
        events = [json.loads(message) for message in stream]
    final: str = events[-1]["text"]
    return final


@pytest.mark.parametrize("name", ATTACKS)
def test_others_are_served_during_a_flood(flooded: Server, name: str) -> None:
    before = _said(flooded.socket_url)
    with attacked(name, flooded.url):
        time.sleep(_SECONDS)
        during = _said(flooded.socket_url)
    assert before and during == before
    assert httpx.get(flooded.url + "/health").status_code == 200
    assert not [each for each in flooded.logs() if each["level"] == "error"]


def test_who_floods_with_fragments_cannot_come_again_at_once(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        began = time.monotonic()
        with attacked("fragments", server.url):
            server.wait_for_logs("stream closed")
            time.sleep(_SECONDS)
        # A connection that is refused stays open for 2 s, and the attacker has one.
        assert len(server.logs("stream closed")) <= (time.monotonic() - began) / 2 + 1


def test_a_commit_is_answered_and_costs_nothing_without_a_frame(recognizer: Recognizer) -> None:
    calls = 0
    inner = recognizer.pipeline.encoder.step

    def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return inner(*arguments)

    samples = clip("en")
    with recognizer.stream(language="en", endpoint=legato.Endpointing(after_speech=60)) as stream:
        stream.accept(samples[:16000])
        stream.commit()
        recognizer.pipeline.encoder.step = counted  # type: ignore[method-assign, assignment]
        try:
            answers = [event for _ in range(50) for event in stream.commit()]
            assert calls == 0
            stream.accept(samples[16000:17280])
            stream.commit()
            assert calls
        finally:
            del recognizer.pipeline.encoder.step
    assert [type(each) for each in answers] == [legato.Segment] * 50
    assert {each.text for each in answers if isinstance(each, legato.Segment)} == {""}


def test_settings_that_follow_each_other_are_one() -> None:

    mailbox = Mailbox(1000, 1)
    for language in ("de", "fr", "it"):
        mailbox.put(SetLanguage(language))
    mailbox.put(Commit())
    mailbox.put(Commit())
    mailbox.put(SetLanguage("en"))
    taken = [mailbox.next_control() for _ in range(5)]
    assert taken == [SetLanguage("it"), Commit(), Commit(), SetLanguage("en"), None]
    assert not mailbox.is_due


def test_a_pace_lets_a_burst_pass_and_then_holds_back() -> None:
    async def run() -> None:
        pace = Pace(1000, 50)
        began = time.monotonic()
        for _ in range(250):
            await pace.keep()
        assert time.monotonic() - began >= 0.15

    asyncio.run(run())


def test_incomplete_bodies_are_bounded_together() -> None:
    held = Held(100_000)
    with held.body() as first, held.body() as second, held.body() as third:
        first.grow(90_000)
        second.grow(60_000)  # few bytes are always accepted
        with pytest.raises(NoRoomError):
            third.grow(90_000)
    assert held.bytes == 0


def test_a_body_that_stops_is_given_up(flooded: Server) -> None:
    with socket.create_connection(("127.0.0.1", flooded.port), 60) as plain:
        plain.sendall(b"POST /v1/formats/srt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        assert b" 408 " in plain.recv(4096).partition(b"\r\n")[0]


def test_a_long_body_is_refused_before_it_is_sent(flooded: Server) -> None:
    with socket.create_connection(("127.0.0.1", flooded.port), 60) as plain:
        plain.sendall(b"POST /v1/formats/srt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 19000000\r\n\r\n{")
        assert b" 413 " in plain.recv(4096).partition(b"\r\n")[0]


def test_segments_are_written_aside_with_the_same_result_and_errors(server: Server) -> None:
    segment = {"text": "word", "start": 0.0, "end": 1.0, "words": [{"text": "word", "start": 0, "end": 1}]}
    for count in (1, 1500):
        answer = httpx.post(server.url + "/v1/formats/srt", json={"segments": [segment] * count})
        assert answer.status_code == 200
        assert answer.text.count("word") == count
        wrong = [*[segment] * count, {**segment, "words": [{"text": "a" * 501, "start": 0, "end": 1}]}]
        refused = httpx.post(server.url + "/v1/formats/srt", json={"segments": wrong})
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == f"segments.{count}.words.0.text"


def test_phrases_have_a_budget_of_letters(flooded: Server) -> None:
    with connect(flooded.socket_url + "/v1/stream") as stream:
        stream.send(json.dumps({"type": "start", "phrases": ["a" * 150] * 200}))
        error = json.loads(stream.recv(60))["error"]
    assert error["code"] == "too_many_phrases"
    assert "30000 letters" in error["message"]


def test_phrases_compiled_aside_are_the_same(recognizer: Recognizer) -> None:
    given = [f"number {number} of many" for number in range(60)]

    async def run() -> None:
        settings = Settings()
        compiled, warnings = await compile_hints([*given, "東"], recognizer, settings)
        again, _ = await compile_hints([*given, "東"], recognizer, settings)
        assert again is compiled
        expected, also = compile_spellable([*given, "東"], recognizer.bundle.pieces)
        assert warnings == also
        assert vars(compiled)["_children"] == vars(expected)["_children"]
        await aside.ASIDE.close()

    asyncio.run(run())


def _refuse() -> None:
    raise InvalidValueError("field", "is wrong")


def test_what_takes_too_long_aside_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def run() -> None:
        process = Aside()
        with pytest.raises(ApiError, match="field: is wrong") as raised:
            await process.run(_refuse)
        assert (raised.value.status, raised.value.param) == (400, "field")
        monkeypatch.setattr(aside, "_SECONDS", 0.3)
        with pytest.raises(TooLongError):
            await process.run(time.sleep, 60)
        monkeypatch.setattr(aside, "_SECONDS", 60)
        assert await process.run(len, "abc") == 3
        await process.close()

    asyncio.run(run())
