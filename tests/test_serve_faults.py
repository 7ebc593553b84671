"""The server in bad company, and at its end: what runs is finished, and nothing stays behind."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

import legato
from legato.audio import read_audio
from tests.server import Server
from tests.sounds import encode

SAMPLE = Path(legato.__file__).parent / "assets" / "samples" / "en.flac"


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Minutes of speech: a second of work or more."""
    speech = np.tile(np.concatenate([read_audio(SAMPLE), np.zeros(8000, np.float32)]), 40)
    return encode(tmp_path_factory.mktemp("long") / "long.flac", speech[:, None], 16000, "flac")


class Upload(threading.Thread):
    """A transcription that runs beside the test."""

    def __init__(self, server: Server, path: Path) -> None:
        super().__init__()
        self.server, self.path = server, path
        self.answer: httpx.Response | None = None
        self.start()

    def run(self) -> None:
        with contextlib.suppress(httpx.TransportError), self.path.open("rb") as file:
            url = f"{self.server.url}/v1/audio/transcriptions"
            self.answer = httpx.post(url, data={"model": "whisper-1"}, files={"file": file}, timeout=100)


def metric(server: Server, name: str) -> float:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def wait_for(server: Server, name: str, value: float) -> None:
    deadline = time.monotonic() + 60
    while metric(server, name) != value:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_runs_is_finished_on_sigterm(tmp_path: Path, long_file: Path) -> None:
    expected = legato.load("embedded", threads=1).transcribe(long_file).text
    with Server(tmp_path, "--grace-seconds", 100) as server:
        upload = Upload(server, long_file)
        wait_for(server, "legato_files", 1)
        server.process.send_signal(signal.SIGTERM)
        while httpx.get(f"{server.url}/ready").status_code == 200:
            assert upload.is_alive()
        refused = Upload(server, SAMPLE)
        refused.join(100)
        assert refused.answer is not None
        assert refused.answer.status_code == 503
        assert refused.answer.json()["error"]["code"] == "shutting_down"
        upload.join(100)
        assert upload.answer is not None
        assert upload.answer.json()["text"] == expected
        assert server.process.wait(60) == 0


def test_what_takes_too_long_is_given_up_on_sigterm(tmp_path: Path, long_file: Path) -> None:
    with Server(tmp_path, "--grace-seconds", 0) as server:
        upload = Upload(server, long_file)
        wait_for(server, "legato_files", 1)
        assert server.stop() == 0
        upload.join(100)
        assert upload.answer is None or upload.answer.status_code >= 500
        assert server.logs("given up what was not finished in time")


def test_killed_and_started_again(tmp_path: Path, long_file: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with Server(tmp_path, TMPDIR=str(temporary)) as server:
        before = set(temporary.iterdir())  # ONNX Runtime has a file there
        upload = Upload(server, long_file)
        wait_for(server, "legato_files", 1)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        upload.join(100)
        assert upload.answer is None
    assert set(temporary.iterdir()) == before
    with Server(tmp_path, "--port", server.port, TMPDIR=str(temporary)) as again:
        assert again.port == server.port
        upload = Upload(again, SAMPLE)
        upload.join(100)
        assert upload.answer is not None
        assert upload.answer.status_code == 200
    assert set(temporary.iterdir()) == before


@contextlib.contextmanager
def connections(server: Server, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60)) for _ in range(count)
        ]


def test_a_thousand_connections_that_say_nothing(server: Server) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this system does not allow so many open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    with connections(server, 1000) as idle:
        for number, each in enumerate(idle):
            if number % 2:  # half of them begin to say something
                each.sendall(b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: local")
        upload = Upload(server, SAMPLE)
        upload.join(100)
        assert upload.answer is not None
        assert upload.answer.status_code == 200


def test_connections_that_say_nothing_are_closed(tmp_path: Path) -> None:
    with Server(tmp_path, "--idle-seconds", 0.5) as server, connections(server, 20) as idle:
        for number, each in enumerate(idle):
            if number % 2:
                each.sendall(b"GET /health HTTP/1.1\r\nHost: local")
        for each in idle:
            assert each.recv(100) == b""


def test_garbage_instead_of_http(server: Server) -> None:
    with connections(server, 4) as found:
        garbage = (b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/9\r\n\r\n", b"\0" * 9999, b"\r\n" * 9)
        for each, said in zip(found, garbage, strict=True):
            each.sendall(said)
            each.shutdown(socket.SHUT_WR)
            each.recv(1000)
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_headers_without_an_end(server: Server) -> None:
    with connections(server, 1) as [connection], contextlib.suppress(OSError):
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        for _ in range(100_000):
            connection.sendall(b"x: " + b"y" * 1000 + b"\r\n")
        pytest.fail("the server took 100 MB of headers")
    assert httpx.get(f"{server.url}/health").status_code == 200
