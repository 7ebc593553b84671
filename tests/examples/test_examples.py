"""Every program in `examples/` runs and prints what it should."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from legato.audio.source import read_audio
from tests.support.command import environment
from tests.support.paths import ROOT, SAMPLES
from tests.support.server import Server
from tests.support.sounds import encode

EXAMPLES = ROOT / "examples"
ENGLISH = "She knew that he was not there, as she put it."
GERMAN = "Kannst du mich später noch mal daran erinnern?"


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The English and the German sample as WAV files."""
    folder = tmp_path_factory.mktemp("talks")
    english, german = (
        encode(folder / f"{language}.wav", read_audio(SAMPLES / f"{language}.flac")[:, None], 16_000, "pcm_s16le")
        for language in ("en", "de")
    )
    return english, german


def run(name: str, *arguments: str | Path, home: Path, **variables: str) -> str:
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    result = subprocess.run(
        command, env=environment(home, **variables), capture_output=True, check=False, text=True, encoding="utf-8"
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_example_is_listed_and_tested() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    readme, tests = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    assert names
    assert [name for name in sorted(names) if name not in readme or f'"{name}"' not in tests] == []


def test_microphone_captions(talks: tuple[Path, Path], tmp_path: Path) -> None:
    assert run("microphone_captions.py", talks[0], home=tmp_path).split("s  ", 1)[1] == f"{ENGLISH}\n"


def test_many_streams(talks: tuple[Path, Path], tmp_path: Path) -> None:
    english, german = talks
    printed = run("many_streams.py", english, german, home=tmp_path)
    assert printed == f"{english}: {ENGLISH}\n{german}: {GERMAN}\n"


@pytest.mark.server
def test_openai_client(talks: tuple[Path, Path], server: Server, tmp_path: Path) -> None:
    printed = run("openai_client.py", talks[0], home=tmp_path, OPENAI_BASE_URL=f"{server.url}/v1")
    words = [line.split() for line in printed.splitlines()]
    assert [word for _, _, word in words] == ENGLISH.split()
    times = np.array([(float(start), float(end)) for start, end, _ in words])
    assert np.all(times[:, 0] < times[:, 1])


@pytest.mark.server
def test_deepgram_client(talks: tuple[Path, Path], server: Server, tmp_path: Path) -> None:
    printed = run("deepgram_client.py", talks[0], home=tmp_path, LEGATO_URL=server.url)
    assert " ".join(printed.split()) == ENGLISH


@pytest.mark.server
def test_web_app(talks: tuple[Path, Path], tmp_path: Path) -> None:
    with started("web_app.py", tmp_path) as url, talks[0].open("rb") as file:
        assert httpx.get(url).json() == {"transcriptions": "/speech/v1/audio/transcriptions"}
        address = f"{url}/speech/v1/audio/transcriptions"
        answer = httpx.post(address, files={"file": file}, data={"model": "legato"}, timeout=60)
    assert answer.json()["text"] == ENGLISH


@contextmanager
def started(name: str, home: Path) -> Iterator[str]:
    """Start an example that serves, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, EXAMPLES / name, str(port)], env=environment(home))
    try:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{port}/")
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                break
        assert process.poll() is None, "the example ended"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)
