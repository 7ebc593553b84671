"""`--ray`: the server and many files on a Ray cluster, here of one machine."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from openai import OpenAI
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

import legato
from legato.audio.source import read_audio
from tests.support.command import environment, failed
from tests.support.command import legato as run_legato
from tests.support.server import Server

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

from tests.support.paths import SAMPLES

LANGUAGES = ("en", "de")


@pytest.fixture(scope="module")
def texts(recognizer: legato.Recognizer) -> dict[str, str]:
    """What is heard in the samples if their language is given."""
    return {name: recognizer.transcribe(SAMPLES / f"{name}.flac", language=name).text for name in LANGUAGES}


def pcm16(language: str) -> list[bytes]:
    audio = (read_audio(SAMPLES / f"{language}.flac") * 32767).astype("<i2").tobytes()
    return [audio[start : start + 6400] for start in range(0, len(audio), 6400)]


def end_orphans(folder: Path) -> None:
    """End the processes of a Ray that was started in a folder and whose starter was killed: two would stay for long."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").resolve() == folder.resolve():
                os.kill(int(process.name), signal.SIGKILL)


def test_the_server(tmp_path: Path, texts: dict[str, str]) -> None:
    with Server(tmp_path, "--ray", LEGATO_API_KEYS="first-secret") as server:
        assert httpx.get(f"{server.url}/ready").json() == {"status": "ready"}
        assert httpx.get(f"{server.url}/v1/models").status_code == 401
        client = OpenAI(base_url=f"{server.url}/v1", api_key="first-secret", max_retries=0)
        with (SAMPLES / "en.flac").open("rb") as file:
            assert client.audio.transcriptions.create(file=file, model="whisper-1", language="en").text == texts["en"]

        headers = {"Authorization": "Bearer first-secret"}
        sockets = {
            language: connect(f"{server.socket_url}/v1/stream?language={language}", additional_headers=headers)
            for language in LANGUAGES
        }
        parts = {language: pcm16(language) for language in LANGUAGES}
        for number in range(max(map(len, parts.values()))):
            for language, socket in sockets.items():
                for piece in parts[language][number : number + 1]:
                    socket.send(piece)
        sockets["en"].send(json.dumps({"type": "end"}))
        assert [*map(json.loads, sockets["en"])][-1]["text"] == texts["en"]
        # The other is still in the middle when the cluster is told to end.
        begun = " ".join(texts["de"].split()[:2])
        while not json.loads(sockets["de"].recv()).get("text", "").startswith(begun):
            pass
        server.process.send_signal(signal.SIGTERM)
        events = [*map(json.loads, sockets["de"])]
        assert events[-1]["type"] == "final"
        assert events[-1]["text"].startswith(begun)
        assert sockets["de"].close_code == 1001
        assert server.process.wait(100) == 0


def logged(server: Server, text: str, count: int) -> list[str]:
    """Wait until replicas have logged so many lines with a text, which Ray carries here when it gets to it."""
    for _ in range(600):
        found = [line for line in server.lines if text in line]
        if len(found) >= count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not {count} lines with {text}:\n" + "\n".join(server.lines))


def replicas() -> list[int]:
    """The processes of replicas on this machine."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"ServeReplica:legato" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def test_a_replica_that_dies(tmp_path: Path, texts: dict[str, str]) -> None:
    """Its stream gets a close frame, its file a 503 in our form, and the next request is served by another replica."""
    with wave.open(str(tmp_path / "long.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"".join(pcm16("de")) * 60)
    form = {"model": "whisper-1", "language": "en"}
    with Server(tmp_path, "--ray") as server, ThreadPoolExecutor(1) as pool:
        socket = connect(f"{server.socket_url}/v1/stream?language=en")
        assert json.loads(socket.recv())["type"] == "ready"
        address = f"{server.url}/v1/audio/transcriptions"
        lost = pool.submit(
            httpx.post, address, files={"file": (tmp_path / "long.wav").read_bytes()}, data=form, timeout=100
        )
        while "\nlegato_files 1.0" not in httpx.get(f"{server.url}/metrics").text:
            time.sleep(0.05)
        for number in replicas():
            os.kill(number, signal.SIGKILL)
        with pytest.raises(ConnectionClosedError):
            socket.recv(100)
        assert (socket.close_code, (socket.close_reason or "")[:12]) == (1013, "replica_gone")
        answer = lost.result()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "replica_gone")
        assert answer.headers["retry-after"] == "10"
        with (SAMPLES / "en.flac").open("rb") as file:
            answer = httpx.post(address, files={"file": file}, data=form, timeout=100)
        while answer.status_code == 503:  # no replica within the limit, on a slow machine
            time.sleep(float(answer.headers["retry-after"]))
            answer = httpx.post(address, files={"file": (SAMPLES / "en.flac").read_bytes()}, data=form, timeout=100)
        assert answer.json()["text"] == texts["en"]
        assert server.stop() == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""  # what Ray has to say about it is on standard error


def test_two_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: dict[str, str]) -> None:
    """A replica on each; a stream is opened and closed by the same one, and told its own text."""
    from ray.cluster_utils import Cluster

    for name, value in environment(tmp_path, RAY_USAGE_STATS_ENABLED="0").items():
        monkeypatch.setenv(name, value)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        with Server(tmp_path, "--ray", RAY_ADDRESS=cluster.address) as server:
            streams = []
            for number in range(8):
                language = ("en", "de")[number % 2]
                socket = connect(f"{server.socket_url}/v1/stream?language={language}")
                streams.append((language, socket, json.loads(socket.recv())["id"]))
            for language, socket, _ in streams:
                for piece in pcm16(language):
                    socket.send(piece)
                socket.send(json.dumps({"type": "end"}))
            for language, socket, _ in streams:
                assert [*map(json.loads, socket)][-1]["text"] == texts[language]
            told = {name: logged(server, f'"stream": "{name}"', 2) for _, _, name in streams}
            assert server.stop() == 0
        replicas = {name: {line.split("pid=")[1].split(")")[0] for line in lines} for name, lines in told.items()}
        assert {len(each) for each in replicas.values()} == {1}
        assert len(set.union(*replicas.values())) == 2
    finally:
        cluster.shutdown()


def test_many_files_killed_and_run_again(tmp_path: Path, recognizer: legato.Recognizer) -> None:
    texts = {name: recognizer.transcribe(SAMPLES / f"{name}.flac").text for name in LANGUAGES}
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for language in LANGUAGES:
        shutil.copy(SAMPLES / f"{language}.flac", folder)
    (folder / "bad.wav").write_text("no sound")
    with wave.open(str(folder / "z.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        for _ in range(120):
            file.writeframes(bytes(16000 * 2 * 60))
    command = ("transcribe", "in", "--ray", "--model", "embedded", "--output-dir", str(out))
    process = subprocess.Popen(
        [sys.executable, "-m", "legato", *command], env=environment(tmp_path), cwd=tmp_path, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(b"3/4 "):
            break
    process.kill()
    process.wait(100)
    end_orphans(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.txt")}
    assert {name: (out / name).read_text().strip() for name in before} == {f"{k}.txt": v for k, v in texts.items()}
    shutil.copy(SAMPLES / "de.flac", folder / "z.flac")
    (folder / "z.wav").unlink()
    message = failed(run_legato(*command, home=tmp_path, cwd=tmp_path))
    assert "1 done" in message
    assert "2 had a result already" in message
    assert "bad.wav: not an audio file" in message
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert (out / "z.txt").read_text().strip() == texts["de"]


def test_what_ray_cannot_do_is_told(tmp_path: Path) -> None:
    message = failed(run_legato("serve", "--ray", "--wyoming-port", "0", home=tmp_path))
    assert "HTTP and WebSockets only" in message
    message = failed(run_legato("serve", "--ray", "--ssl-certfile", "cert.pem", home=tmp_path))
    assert "no HTTPS" in message
