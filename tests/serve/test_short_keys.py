"""Short-lived keys, as OpenAI's and Deepgram's clients request and use them."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from legato.serve.errors import AuthError
from legato.serve.short_keys import ShortKeys
from tests.serve.test_transcriptions import SAMPLES
from tests.support.server import Server

PERMANENT = "permanent-secret"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an API key."""
    with Server(tmp_path_factory.mktemp("guarded"), LEGATO_API_KEYS=PERMANENT) as running:
        yield running


@pytest.fixture
def client(guarded: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=PERMANENT, max_retries=0)


def realtime(server: Server, key: str) -> ClientConnection:
    """Open a session as a page does."""
    names = ["realtime", f"openai-insecure-api-key.{key}"]
    return connect(f"{server.socket_url}/v1/realtime", subprotocols=[Subprotocol(name) for name in names])


def test_client_secrets(guarded: Server, client: openai.OpenAI) -> None:
    session: Any = {
        "type": "transcription",
        "audio": {"input": {"transcription": {"language": "de", "prompt": "Berlin"}, "turn_detection": None}},
    }
    secret = client.realtime.client_secrets.create(
        expires_after={"anchor": "created_at", "seconds": 60}, session=session
    )
    assert PERMANENT not in secret.value
    assert secret.session.type == "transcription"
    with realtime(guarded, secret.value) as websocket:
        created = json.loads(websocket.recv())
        assert created["type"] == "session.created"
        given = created["session"]["audio"]["input"]
        assert given["transcription"]["language"] == "de"
        assert given["transcription"]["prompt"] == "Berlin"
        assert given["turn_detection"] is None
    # The key gives access to recognition, and to nothing else.
    page = openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=secret.value, max_retries=0)
    assert page.audio.transcriptions.create(file=SAMPLES[0], model="whisper-1").text
    with pytest.raises(openai.PermissionDeniedError):
        page.realtime.client_secrets.create()
    assert httpx.get(f"{guarded.url}/metrics", headers={"Authorization": f"Bearer {secret.value}"}).status_code == 403
    guarded_log = "\n".join(guarded.lines)
    assert secret.value not in guarded_log
    assert PERMANENT not in guarded_log


def test_transcription_sessions_of_the_beta(guarded: Server, client: openai.OpenAI) -> None:
    session = client.beta.realtime.transcription_sessions.create(
        input_audio_format="g711_ulaw", input_audio_transcription={"model": "whisper-1", "language": "fr"}
    )
    assert session.input_audio_format == "g711_ulaw"
    assert session.input_audio_transcription is not None
    assert session.input_audio_transcription.language == "fr"
    with realtime(guarded, session.client_secret.value) as websocket:
        created = json.loads(websocket.recv())["session"]["audio"]["input"]
        assert created["format"]["type"] == "audio/pcmu"
        assert created["transcription"]["language"] == "fr"


def test_grants_of_deepgram(guarded: Server) -> None:
    http, socket_url = guarded.url, guarded.socket_url
    environment = DeepgramClientEnvironment(base=http, production=socket_url, agent=socket_url, agent_rest=http)
    permanent = DeepgramClient(api_key=PERMANENT, environment=environment)
    for ttl in ({}, {"ttl_seconds": 300}):
        grant = permanent.auth.v1.tokens.grant(**ttl)
        assert grant.expires_in == ttl.get("ttl_seconds", 30)
        page = DeepgramClient(access_token=grant.access_token, environment=environment)
        result: Any = page.listen.v1.media.transcribe_file(request=SAMPLES[0].read_bytes())
        assert result.results.channels[0].alternatives[0].transcript
        offered = [Subprotocol("bearer"), Subprotocol(grant.access_token)]
        url = f"{socket_url}/v1/listen?encoding=linear16&sample_rate=16000"
        with connect(url, subprotocols=offered) as websocket:
            websocket.send(json.dumps({"type": "CloseStream"}))
            assert json.loads(websocket.recv())["type"] == "Metadata"


@pytest.mark.parametrize(
    ("path", "body", "param", "allowed"),
    [
        (
            "realtime/client_secrets", {"expires_after": {"anchor": "created_at", "seconds": 9}},
            "expires_after.seconds", "It must be a number of at least 10, not 9.",
        ),
        (
            "realtime/client_secrets", {"expires_after": {"anchor": "now"}},
            "expires_after.anchor", "It must be 'created_at', not 'now'.",
        ),
        (
            "realtime/client_secrets", {"session": {"audio": {"input": {"format": "mp3"}}}},
            "session.audio.input.format", "audio/pcm",
        ),
        ("realtime/client_secrets", {"session": {"instructions": "x" * 5000}}, "session", ""),
        ("realtime/client_secrets", [], "body", "It must be a JSON object."),
        ("realtime/transcription_sessions", {"input_audio_transcription": {"language": "xx"}}, "language", "en-US"),
        ("realtime/transcription_sessions", None, "body", "It must be a JSON object"),
        ("auth/grant", {"ttl_seconds": 4000}, "ttl_seconds", "It must be a number of at most 3600, not 4000."),
        ("auth/grant", {"ttl_seconds": "long"}, "ttl_seconds", "It must be a number, not 'long'."),
    ],
)  # fmt: skip
def test_requests_that_are_wrong(guarded: Server, path: str, body: Any, param: str, allowed: str) -> None:
    headers = {"Authorization": f"Bearer {PERMANENT}", "Content-Type": "application/json"}
    answer = httpx.post(f"{guarded.url}/v1/{path}", content=json.dumps(body), headers=headers)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert allowed in error["message"]
    answer = httpx.post(f"{guarded.url}/v1/{path}", content=b"no JSON", headers=headers)
    assert "body: This is not JSON: " in answer.json()["error"]["message"]


def test_keys_need_a_permanent_key(guarded: Server) -> None:
    for path in ("realtime/client_secrets", "realtime/transcription_sessions", "auth/grant"):
        assert httpx.post(f"{guarded.url}/v1/{path}", json={}).status_code == 401


def test_without_api_keys_they_are_issued_too(server: Server) -> None:
    session = {"audio": {"input": {"transcription": {"language": "fr"}}}}
    secret = httpx.post(f"{server.url}/v1/realtime/client_secrets", json={"session": session}).json()
    with realtime(server, secret["value"]) as websocket:
        created = json.loads(websocket.recv())
        assert created["session"]["audio"]["input"]["transcription"]["language"] == "fr"
    with realtime(server, "any-other-key") as websocket:
        assert json.loads(websocket.recv())["type"] == "session.created"


def test_altered_keys_are_refused(guarded: Server, client: openai.OpenAI) -> None:
    value = client.realtime.client_secrets.create().value
    for altered in (value[:-1], value[:10] + "x" + value[11:], value.partition(".")[0], "ek_", "ek_.", "ek_\xe9."):
        with pytest.raises(InvalidStatus) as refused:
            headers = {"Authorization": f"Bearer {altered}"}
            connect(f"{guarded.socket_url}/v1/realtime", additional_headers=headers)
        assert refused.value.response.status_code == 401


def test_signatures_and_lifetimes(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ShortKeys(("a", "b"))
    key = keys.issue(60, {"audio": {}})
    found = ShortKeys(("b", "a")).check(key.value, "1.2.3.4")  # as on another replica
    assert found == key
    assert ShortKeys(("a",)).check(key.value, "") is None
    assert ShortKeys(()).check(key.value, "") is None
    assert keys.check(key.value, "1.2.3.4") == key
    with pytest.raises(AuthError, match="Another client"):
        keys.check(key.value, "5.6.7.8")
    monkeypatch.setattr("time.time", lambda: key.expires_at + 0.5)
    with pytest.raises(AuthError, match="expired"):
        keys.check(key.value, "1.2.3.4")
