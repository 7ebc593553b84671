"""`legato serve`: starting, who may use it, health, metrics, and its end."""

import asyncio
import importlib
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from legato import load
from legato.errors import LegatoError
from legato.installation import install_command
from legato.recognizer import Recognizer
from legato.serve import Settings, create_app
from legato.serve.server import listen
from tests.serve.test_transcriptions import SAMPLES
from tests.support.command import environment, failed, legato
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


def test_how_many_streams_the_machine_holds_is_told(recognizer: Recognizer) -> None:
    with TestClient(create_app(recognizer, Settings(max_streams=0)), base_url="http://localhost") as client:
        [measured] = re.findall(r"^legato_measured_streams (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert float(measured) >= 1


def test_ctrl_c_ends_it_in_good_order(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        assert server.stop(signal.SIGINT) == 0
        assert [each["message"] for each in server.logs()] == ["draining", "drained"]


def test_the_options_for_https(tmp_path: Path) -> None:
    command = ("serve", "--port", "0", "--model", "embedded")
    message = failed(legato(*command, "--ssl-certfile", tmp_path / "missing", home=tmp_path))
    assert "the certificate or its private key is not usable" in message
    assert "pass --ssl-certfile too" in failed(legato(*command, "--ssl-keyfile", tmp_path / "key", home=tmp_path))


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
    assert install_command("serve") in message


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
    assert server.wait_for_logs("file")
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
        (Settings(allow_origins=("*",)), {"Origin": "https://example.com"}, 200),
        (Settings(), {"Origin": "//localhost:8000"}, 403),
        (Settings(), {"Origin": "javascript://localhost:8000"}, 403),
        (Settings(), {"Origin": "https://localhost:8000"}, 403),
        (Settings(), {"Origin": "http://user@localhost:8000"}, 403),
        (Settings(), {"Origin": "http://localhost:8000/"}, 403),
        (Settings(), {"Origin": "http://[x"}, 403),
        (Settings(), {"Host": "[x"}, 403),
        (Settings(), {"Host": "localhost:99999"}, 403),
        (Settings(), {"Host": "localhost", "Origin": "http://localhost:80"}, 200),
        (Settings(host="0.0.0.0", allow_anonymous=True), {"Host": "speech.example.org"}, 403),
        (Settings(host="0.0.0.0", allow_anonymous=True), {"Host": "192.168.1.5:8000"}, 200),
        (Settings(host="0.0.0.0", allow_anonymous=True), {"Host": "speech"}, 200),
        (Settings(host="0.0.0.0", allow_anonymous=True), {"Host": "speech.local:8000"}, 200),
        (Settings(host="0.0.0.0", allow_anonymous=True), {"Origin": "null"}, 403),
        (
            Settings(host="0.0.0.0", allow_anonymous=True, allow_hosts=("speech.example.org",)),
            {"Host": "Speech.Example.org", "Origin": "http://speech.example.org"},
            200,
        ),
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


def test_pages_may_read_refusals() -> None:
    origin = {"Origin": "https://example.org"}
    for allowed, header in (("https://example.org", "https://example.org"), ("*", "*")):
        answer = ask(Settings(allow_origins=(allowed,), api_keys=("secret",)), **origin)
        assert answer.status_code == 401
        assert answer.headers["Access-Control-Allow-Origin"] == header
        assert "WWW-Authenticate" in answer.headers["Access-Control-Expose-Headers"]
    answer = ask(Settings(allow_origins=("https://example.org",)), Host="example.com", **origin)
    assert answer.status_code == 403
    assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/health", "/ready", "/docs", "/openapi.json", "/v1/models"])
def test_head(server: Server, path: str) -> None:
    head, get = (httpx.request(method, server.url + path) for method in ("HEAD", "GET"))
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    varying = {"date"}
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }


def test_head_where_there_is_no_get(server: Server) -> None:
    assert httpx.head(server.url + "/v1/audio/transcriptions").status_code == 405
    assert httpx.head(server.url + "/nothing").status_code == 404


def test_an_unknown_path_of_a_websocket(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(f"{server.socket_url}/v1/nothing"):
        pass
    assert refused.value.response.status_code == 404


def test_labels_of_metrics_are_bounded(server: Server) -> None:
    for name in ("BREW", "PROPFIND", "GETGETGET"):
        httpx.request(name, f"{server.url}/health")
        httpx.get(f"{server.url}/{name}")
    text = httpx.get(server.url + "/metrics").text
    assert "BREW" not in text
    assert 'method="other"' in text


def test_the_reason_of_a_refusal_is_logged(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        form = {"model": "whisper-1", "language": "klingon"}
        httpx.post(f"{server.url}/v1/audio/transcriptions", data=form, files={"file": SAMPLE.read_bytes()}, timeout=60)
        httpx.post(f"{server.url}/v1/listen?language=klingon", content=SAMPLE.read_bytes(), timeout=60)
        server.stop()
        refused = [each for each in server.logs("request") if "code" in each]
        assert [(each["code"], each["param"]) for each in refused] == [("invalid_value", "language")] * 2
        assert all("klingon" in each["error"] for each in refused)


def test_a_tab_that_closes_is_no_failure(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        for path in ("/v1/stream", "/v1/realtime", "/v1/listen?encoding=linear16&sample_rate=16000"):
            tab = connect(server.socket_url + path, open_timeout=60)
            tab.send(bytes(64_000) if "realtime" not in path else "{}")
            tab.socket.close()  # without a closing handshake
        server.wait_for_logs("stream closed")
        server.wait_for_logs("request", count=3)
        text = httpx.get(server.url + "/metrics").text
        assert not re.search(r"^legato_streams_failed_total.* [1-9]", text, re.MULTILINE)
        assert {each["status"] for each in server.logs("request")} == {101}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its private key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def test_https_and_keep_alive(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = map(str, certificate)
    options = ("--host", "localhost", "--port", "0", "--keep-alive-seconds", "0.3")
    command = [sys.executable, "-m", "legato", "serve", "--model", "embedded", *options]
    command += ["--ssl-certfile", cert, "--ssl-keyfile", key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(tmp_path)) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("Legato serves https://")
            port = int(address.rpartition(":")[2])
            context = ssl.create_default_context(cafile=certificate[0])
            assert httpx.get(f"https://localhost:{port}/health", verify=context).status_code == 200
            with connect(f"wss://localhost:{port}/v1/stream?language=de", ssl=context, open_timeout=60) as websocket:
                assert json.loads(websocket.recv())["type"] == "ready"
            with socket.create_connection(("localhost", port), timeout=60) as plain:
                connection = context.wrap_socket(plain, server_hostname="localhost")
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                while connection.recv(1000):  # the server closes the idle connection
                    pass
        finally:
            process.terminate()


def test_certificates_that_are_wrong(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    for wrong in (
        Settings(port=0, ssl_certfile=tmp_path / "missing"),
        Settings(port=0, ssl_certfile=key, ssl_keyfile=cert),
        Settings(port=0, ssl_keyfile=key),
    ):
        with pytest.raises(LegatoError, match="certificate"):
            listen(wrong)


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
            (["realtime", "openai-insecure-api-key.first-secret"], 404),  # let in, but there is nothing
            (["token", "second-secret"], 404),
            (["realtime", "openai-insecure-api-key.wrong-secret"], 401),
            (["token", "wrong-secret"], 401),
            (["realtime"], 401),
        ):
            offered = [Subprotocol(name) for name in names]
            with pytest.raises(InvalidStatus) as refused, connect(socket_url, subprotocols=offered):
                pass
            assert refused.value.response.status_code == status, names
        listen_url = f"ws://127.0.0.1:{server.port}/v1/listen"
        with pytest.raises(InvalidStatus) as refused, connect(listen_url, subprotocols=offered):
            pass
        reason = refused.value.response.headers["dg-error"]
        assert reason == "MISSING_API_KEY: No API key was given. Send it as 'Authorization: Bearer KEY'."
        server.stop()
        assert "secret" not in "\n".join(server.lines)


def test_the_former_name_of_the_module() -> None:
    with pytest.warns(DeprecationWarning, match="import create_app from legato.serve"):
        former = importlib.reload(importlib.import_module("legato.serve.application"))
    assert former.create_app is create_app
