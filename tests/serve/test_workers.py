"""`legato serve --workers`: several processes that are one server for their clients."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from legato.cli.serving import shares
from legato.errors import LegatoError
from legato.runtime.cores import available_cores
from legato.serve.core.lateness import Lateness
from legato.serve.errors import AuthError
from legato.serve.processes.job import Job
from legato.serve.settings import Settings
from legato.serve.short_keys import ShortKeys
from legato.serve.tally import Tally
from tests.support.command import failed, legato
from tests.support.live import clip, metric, pcm, pieces, wait_for
from tests.support.server import Server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="connections are not handed on here")

STREAMS = 'legato_streams{interface="native"}'


def children(server: Server) -> list[int]:
    pid = server.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def opened(server: Server, stack: ExitStack) -> Connection:
    return stack.enter_context(connect(server.socket_url + "/v1/stream?language=en"))


def answer(socket: Connection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(socket.recv(60))
    return found


def rest(socket: Connection) -> list[dict[str, Any]]:
    return [json.loads(message) for message in socket]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two processes that hold three streams together."""
    options = ("--workers", 2, "--max-streams", 3, "--wyoming-port", 0)
    with Server(tmp_path_factory.mktemp("pair"), *options) as running:
        yield running


def test_limits_and_metrics_hold_for_all_processes(pair: Server) -> None:
    assert len(children(pair)) == 2
    with ExitStack() as stack:
        sockets = [opened(pair, stack) for _ in range(3)]
        assert [answer(each)["type"] for each in sockets] == ["ready"] * 3
        for _ in range(4):  # from whichever process answers
            assert metric(pair, STREAMS) == 3
            assert answer(opened(pair, stack))["error"]["code"] == "server_busy"
        texts = []
        for each in sockets:
            for part in pieces(pcm(clip("en"))):
                each.send(part)
            each.send('{"type": "end"}')
            texts.append(next(event for event in rest(each) if event["type"] == "final")["text"])
        assert len(set(texts)) == 1 and texts[0]
    wait_for(pair, STREAMS, 0)
    assert metric(pair, 'legato_refused_total{interface="native",reason="server_busy"}') == 4


def opened_in(pair: Server, stack: ExitStack) -> tuple[Connection, int]:
    """A stream that is open, and the process that holds it."""
    before = len(pair.logs("stream opened"))
    socket = opened(pair, stack)
    assert answer(socket)["type"] == "ready"
    deadline = time.monotonic() + 60
    while len(found := pair.logs("stream opened")) == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return socket, found[-1]["process"]


def opened_elsewhere(pair: Server, stack: ExitStack, process: int) -> Connection:
    """A stream that another process holds: which one a connection gets depends on what was open a moment ago."""
    for _ in range(100):
        with ExitStack() as attempt:
            socket, holder = opened_in(pair, attempt)
            if holder != process:
                stack.push(attempt.pop_all())
                return socket
        wait_for(pair, STREAMS, 1)
    raise AssertionError("one process received 100 connections in succession")


def test_a_process_that_dies_is_replaced(pair: Server) -> None:
    with ExitStack() as stack:
        lost, process = opened_in(pair, stack)
        kept = opened_elsewhere(pair, stack, process)
        counted = metric(pair, 'legato_streams_opened_total{interface="native"}')
        os.kill(process, signal.SIGKILL)
        with pytest.raises(ConnectionClosedError):
            answer(lost)
        wait_for(pair, STREAMS, 1)
        kept.send(pcm(clip("en")))
        kept.send('{"type": "end"}')
        assert any(event["type"] == "final" for event in rest(kept))
        deadline = time.monotonic() + 60
        while len(children(pair)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert metric(pair, 'legato_streams_opened_total{interface="native"}') >= counted
    wait_for(pair, STREAMS, 0)
    for _ in range(6):
        assert httpx.get(pair.url + "/health").status_code == 200
    with ExitStack() as stack:  # the places of the dead process are free
        assert [answer(opened(pair, stack))["type"] for _ in range(3)] == ["ready"] * 3


def test_wyoming_reaches_the_processes(pair: Server) -> None:
    import socket

    for _ in range(2):
        with socket.create_connection(("127.0.0.1", pair.wyoming_port), 60) as plain:
            plain.sendall(b'{"type": "describe"}\n')
            assert b'"info"' in plain.recv(4096)


def test_the_end_gives_every_stream_its_text(tmp_path: Path) -> None:
    with Server(tmp_path, "--workers", 2) as server, ExitStack() as stack:
        sockets = [opened(server, stack) for _ in range(4)]
        for each in sockets:
            assert answer(each)["type"] == "ready"
            each.send(pcm(clip("en")))
        sent, deadline = 4 * len(clip("en")) / 16000, time.monotonic() + 60
        while metric(server, 'legato_audio_seconds_total{interface="native"}') < sent - 0.1:
            assert time.monotonic() < deadline
        server.process.send_signal(signal.SIGINT)
        found = [rest(each) for each in sockets]
        assert server.process.wait(60) == 0
        assert [events[-1]["type"] for events in found] == ["final"] * 4
        assert all(events[-1]["text"] for events in found)


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    with Server(tmp_path, "--workers", 2) as server:
        pids = children(server)
        server.process.kill()
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_what_a_process_cannot_do_is_told(tmp_path: Path) -> None:
    command = ("serve", "--model", "embedded", "--port", "0", "--workers")
    assert "zz" in failed(legato(*command, "2", "--language", "zz", home=tmp_path))


def test_auto_leaves_each_process_the_threads_of_its_model(tmp_path: Path) -> None:
    cores = available_cores()
    (tmp_path / "encoder.onnx").write_bytes(b"")
    assert shares("auto", None, tmp_path) == (cores, 1)
    assert shares("auto", 2, tmp_path) == (max(1, cores // 2), 2)
    with (tmp_path / "encoder.onnx.data").open("wb") as file:
        file.truncate(600_000_000)
    threads = min(cores, 4)
    assert shares("auto", None, tmp_path) == (max(1, cores // threads), threads)
    assert shares("3", None, tmp_path) == (3, max(1, cores // 3))
    for wrong in ("0", "-1", "2.5", ""):
        with pytest.raises(LegatoError, match="--workers"):
            shares(wrong, None, tmp_path)


_TAKE = """
import sys; from pathlib import Path
from legato.serve.tally import Tally
tally = Tally(Path(sys.argv[1]), 2, int(sys.argv[2]))
print(sum(tally.take("streams", 500) for _ in range(400)))
"""


def test_a_tally_never_exceeds_a_limit(tmp_path: Path) -> None:
    job = Job.create(tmp_path, 1, Settings(), 2, tmp_path)
    file = str(tmp_path / "tally")
    running = [
        subprocess.Popen([sys.executable, "-c", _TAKE, file, str(row)], stdout=subprocess.PIPE, text=True)
        for row in range(2)
    ]
    taken = [int(each.communicate(timeout=60)[0]) for each in running]
    tally = job.tally(0)
    assert sum(taken) == tally.total("streams") == 500
    assert [tally.get("streams", row) for row in range(2)] == taken
    tally.clear(1)
    assert tally.total("streams") == 500 - taken[1]
    alone = Tally()
    assert alone.take("files", 1) and not alone.take("files", 1)
    alone.give_back("files")
    assert alone.take("files", 1)


def test_a_short_key_is_one_client_s_in_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = b"s" * 32
    first, second = (ShortKeys((), secret, tmp_path) for _ in range(2))
    key = first.issue(60).value
    assert second.check(key, "10.0.0.1") is not None
    assert first.check(key, "10.0.0.1") is not None
    for keys in (first, second):
        with pytest.raises(AuthError, match="Another client"):
            keys.check(key, "10.0.0.2")
    brief = first.issue(30)
    first.check(brief.value, "10.0.0.1")
    monkeypatch.setattr("time.time", lambda: brief.expires_at + 0.5)
    second.check(second.issue(60).value, "10.0.0.1")  # removes what has expired
    assert len(list(tmp_path.iterdir())) == 2


def test_lateness_is_that_of_nine_steps_of_ten() -> None:
    from legato.engine import Step

    late = Lateness()
    assert late.share == 0
    for each in np.linspace(0.032, 0.32, 10):
        late.on_step(Step(8, 4, 0.03, float(each)))
    assert late.share == pytest.approx(1.0)
    for _ in range(100):
        late.on_step(Step(8, 4, 0.03, 0.032))
    assert late.share == pytest.approx(0.1)
