"""`legato serve`: starting, who may use it, health, metrics, and its end."""

import asyncio
import importlib
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from legato import load
from legato.serve import Settings, create_app
from tests.serve.test_transcriptions import SAMPLES
from tests.support.command import failed, legato
from tests.support.server import Server

SAMPLE = SAMPLES[0]


def test_health_and_readiness(server: Server) -> None:
    for path in ("/health", "/ready"):
        assert httpx.get(server.url + path).status_code == 200


def test_what_is_not_there_is_told_as_openai_does(server: Server) -> None:
    answer = httpx.get(server.url + "/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert httpx.post(server.url + "/health").status_code == 405


def test_metrics(server: Server) -> None:
    httpx.get(server.url + "/health")
    answer = httpx.get(server.url + "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'legato_requests_total{method="GET",route="/health",status="200"}' in answer.text
    assert "legato_rtf" in answer.text


def test_ctrl_c_ends_it_in_good_order(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        assert server.stop(signal.SIGINT) == 0
        assert [each["message"] for each in server.logs()] == ["draining", "drained"]


def test_it_is_not_open_to_everybody_by_mistake(tmp_path: Path) -> None:
    message = failed(legato("serve", "--host", "0.0.0.0", "--port", "0", "--model", "embedded", home=tmp_path))
    assert "--allow-anonymous" in message


def test_without_its_packages() -> None:
    code = (
        "import importlib.util as u; real = u.find_spec; "
        "u.find_spec = lambda name, *more: None if name == 'uvicorn' else real(name, *more); "
        "from legato.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code, "serve"], capture_output=True, check=False, timeout=100)
    message = failed(result)
    assert "uvicorn" in message
    assert "pip install 'legato[serve]'" in message


def test_keys_that_cannot_be_read(tmp_path: Path) -> None:
    empty = tmp_path / "keys"
    empty.write_text("# none\n")
    for file, words in ((empty, "no API key"), (tmp_path / "missing", "cannot be read")):
        assert words in failed(legato("serve", "--model", "embedded", "--api-key-file", file, home=tmp_path))


def test_texts_are_logged_only_when_asked(server: Server, tmp_path: Path) -> None:
    def text_of(server: Server) -> str:
        with SAMPLE.open("rb") as file:
            url = f"{server.url}/v1/audio/transcriptions"
            answer = httpx.post(url, data={"model": "whisper-1"}, files={"file": file}, timeout=60)
        return str(answer.json()["text"])

    with Server(tmp_path, "--log-transcripts") as telling:
        text = text_of(telling)
        telling.stop()
        assert text in "\n".join(telling.lines)
    assert text_of(server) == text
    assert server.logs("file")
    assert text not in "\n".join(server.lines)


def test_a_port_that_is_taken(server: Server, tmp_path: Path) -> None:
    message = failed(legato("serve", "--port", str(server.port), "--model", "embedded", home=tmp_path))
    assert f"port {server.port}" in message


def test_without_keys_pages_from_elsewhere_are_refused(server: Server) -> None:
    ours = f"127.0.0.1:{server.port}"
    for headers, status in (
        ({"Origin": f"http://{ours}"}, 200),
        ({"Origin": "https://example.org"}, 403),
        ({"Host": "example.org", "Origin": "http://example.org"}, 403),
        ({"Host": f"localhost:{server.port}"}, 200),
    ):
        assert httpx.get(server.url + "/metrics", headers=headers).status_code == status, headers


def ask(settings: Settings, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask a server with such settings, without a process of its own, for its models."""

    async def run() -> httpx.Response:
        app = create_app(load("embedded", threads=1), settings)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            answer = await client.request(
                method,
                "/v1/models",
                headers={name.encode(): value.encode("latin-1") for name, value in headers.items()},
            )
        app.state.service.engine.close()
        return answer

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        (Settings(), {"Host": "127.0.0.2:1"}, 200),
        (Settings(), {"Host": "[::1]:1"}, 200),
        (Settings(), {"Host": "localhost.example.org"}, 403),
        (Settings(), {"Host": ""}, 403),
        (Settings(), {"Origin": "null"}, 403),
        (Settings(), {"Origin": "http://localhost:9000"}, 403),
        (Settings(allow_origins=("https://example.org",)), {"Origin": "https://example.org"}, 200),
        (Settings(allow_origins=("https://example.org",)), {"Origin": "https://example.com"}, 403),
        (Settings(host="0.0.0.0", allow_anonymous=True), {"Host": "speech.example.org"}, 200),
        (Settings(host="0.0.0.0", allow_anonymous=True), {"Origin": "https://example.org"}, 403),
        (Settings(api_keys=("secret",)), {"Origin": "https://example.org"}, 401),
        (Settings(api_keys=("secret",)), {"Origin": "https://example.org", "Authorization": "Bearer secret"}, 200),
        (Settings(api_keys=("secret",)), {"Authorization": "Bearer secret\xe9"}, 401),
        (Settings(api_keys=("secret",)), {"Authorization": "Bearer"}, 401),
    ],
)
def test_who_may_ask(settings: Settings, headers: dict[str, str], status: int) -> None:
    assert ask(settings, **headers).status_code == status


def test_pages_that_are_allowed_may_read_the_answer() -> None:
    settings = Settings(allow_origins=("https://example.org",), api_keys=("secret",))
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    answer = ask(settings, "OPTIONS", **asked, **{"Access-Control-Request-Headers": "authorization"})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Origin" not in ask(settings, "OPTIONS", **asked | {"Origin": "https://b.org"}).headers


def test_api_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# ours\nfirst-secret\n\nsecond-secret\n")
    options = ("--host", "0.0.0.0", "--api-key-file", file)
    with Server(tmp_path, *map(str, options), LEGATO_API_KEYS="third-secret, fourth-secret") as server:
        url = f"http://127.0.0.1:{server.port}"
        for key in ("first-secret", "second-secret", "third-secret", "fourth-secret"):
            for scheme in ("Bearer", "Token", "bearer"):
                assert httpx.get(url + "/metrics", headers={"Authorization": f"{scheme} {key}"}).status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong-secret"}, {"Authorization": "Basic first-secret"}):
            answer = httpx.get(url + "/metrics", headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] in {"missing_api_key", "invalid_api_key"}
        assert httpx.get(url + "/metrics?api_key=first-secret").status_code == 401
        assert httpx.get(url + "/health").status_code == 200
        socket_url = f"ws://127.0.0.1:{server.port}/nothing"
        for names, status in (
            (["realtime", "openai-insecure-api-key.first-secret"], 403),  # let in, but there is nothing
            (["token", "second-secret"], 403),
            (["realtime", "openai-insecure-api-key.wrong-secret"], 401),
            (["token", "wrong-secret"], 401),
            (["realtime"], 401),
        ):
            offered = [Subprotocol(name) for name in names]
            with pytest.raises(InvalidStatus) as refused, connect(socket_url, subprotocols=offered):
                pass
            assert refused.value.response.status_code == status, names
        server.stop()
        assert "secret" not in "\n".join(server.lines)


def test_the_former_name_of_the_module() -> None:
    with pytest.warns(DeprecationWarning, match="import create_app from legato.serve"):
        former = importlib.reload(importlib.import_module("legato.serve.application"))
    assert former.create_app is create_app
