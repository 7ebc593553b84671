"""The server in bad company, and at its end: what runs is finished, and nothing stays behind."""

import contextlib
import io
import signal
import socket
import threading
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest

import legato
from tests.support.full_disk import full_disk
from tests.support.live import wait_for
from tests.support.paths import SAMPLES
from tests.support.server import Server

SAMPLE = SAMPLES / "en.flac"


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


class Halting:
    """An upload that comes to a halt when all but its last bytes are sent, and goes on when it is told to."""

    def __init__(self, server: Server, content: bytes) -> None:
        form = httpx.Request("POST", server.url, data={"model": "whisper-1"}, files={"file": content})
        body = form.read()
        head = (
            "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: {form.headers['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.rest = body[-100:]
        self.connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.connection.sendall(head.encode() + body[:-100])
        wait_for(server, "legato_files_waiting", 1)  # it is admitted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def go_on(self) -> str:
        """Send the rest: the response."""
        self.connection.sendall(self.rest)
        return self.answer()

    def answer(self) -> str:
        """What comes until the connection is closed."""
        parts = []
        with contextlib.suppress(ConnectionError):
            while part := self.connection.recv(10_000):
                parts.append(part)
        return b"".join(parts).decode()


def test_what_runs_is_finished_on_sigterm(tmp_path: Path) -> None:
    expected = legato.load("embedded", threads=1).transcribe(SAMPLE).text
    with Server(tmp_path) as server, Halting(server, SAMPLE.read_bytes()) as running:
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_logs("draining")
        assert httpx.get(f"{server.url}/ready").status_code == 503
        assert httpx.get(f"{server.url}/health").status_code == 200
        refused = Upload(server, SAMPLE)
        refused.join(100)
        assert refused.answer is not None
        assert refused.answer.status_code == 503
        assert refused.answer.json()["error"]["code"] == "shutting_down"
        answer = running.go_on()
        assert answer.startswith("HTTP/1.1 200 ")
        assert expected in answer
        assert server.process.wait(60) == 0


def test_a_file_is_refused_where_there_is_no_room_for_more(tmp_path: Path) -> None:
    with (
        Server(tmp_path, "--max-files", 1, "--max-waiting", 0) as server,
        Halting(server, SAMPLE.read_bytes()) as running,
    ):
        refused = Upload(server, SAMPLE)
        refused.join(100)
        assert refused.answer is not None
        assert (refused.answer.status_code, refused.answer.json()["error"]["code"]) == (503, "server_busy")
        assert running.go_on().startswith("HTTP/1.1 200 ")


def test_what_takes_too_long_is_given_up_on_sigterm(tmp_path: Path) -> None:
    with Server(tmp_path, "--grace-seconds", 0.1) as server, Halting(server, SAMPLE.read_bytes()) as running:
        assert server.stop() == 0
        answer = running.answer()
        assert answer.startswith("HTTP/1.1 503 ")
        assert "retry-after: 2" in answer.lower()
        assert '"code":"shutting_down"' in answer.replace(" ", "")
        assert server.logs("unfinished work is abandoned")
        assert "Traceback" not in "".join(server.lines)


def test_a_recognition_that_takes_too_long_is_given_up_on_sigterm(tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    with wave.open(str(long), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(32000 * 3000))
    with Server(tmp_path, "--grace-seconds", 0.1, "--max-audio-minutes", 60) as server:
        upload = Upload(server, long)
        wait_for(server, "legato_files", 1)
        assert server.stop() == 0
        upload.join(100)
        assert upload.answer is not None
        assert upload.answer.status_code == 503
        assert upload.answer.headers["retry-after"] == "2"
        assert upload.answer.json()["error"]["code"] == "shutting_down"
        assert "Traceback" not in "".join(server.lines)


def test_killed_and_started_again(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with Server(tmp_path, TMPDIR=str(temporary)) as server:
        before = set(temporary.iterdir())  # ONNX Runtime has a file there
        with Halting(server, bytes(5_000_000)) as running:
            assert server.stop(signal.SIGKILL) == -signal.SIGKILL
            assert running.answer() == ""
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
    with Server(tmp_path, "--idle-seconds", 3) as server, connections(server, 20) as idle:
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


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """What fits into memory is recognized all the same."""
    with full_disk(300_000):
        server = Server(tmp_path)
    head = io.BytesIO()
    with wave.open(head, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(900_000))
    small, large = head.getvalue(), head.getvalue() + bytes(1_100_000)
    with server:
        for data, status in ((large, 503), (small, 200)):
            for path, form in (("/v1/audio/transcriptions", {"model": "whisper-1"}), ("/v1/stream", {})):
                answer = httpx.post(server.url + path, data=form, files={"file": data}, timeout=100)
                assert (answer.status_code, "no room for the file" in answer.text) == (status, status == 503)
            answer = httpx.post(server.url + "/v1/listen", content=data, timeout=100)
            assert (answer.status_code, "no room for the file" in answer.text) == (status, status == 503)
        assert len([each for each in server.logs() if each["level"] == "error"]) == 3
        assert "Traceback" not in "".join(server.lines)
