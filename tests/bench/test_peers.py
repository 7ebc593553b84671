"""The comparison with peers: Legato's drivers, the ratios, and the emulation of a CPU without VNNI."""

import ctypes
import json
import math
import platform
import shutil
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from bench.peers.targets import Figures, judge, targets
from bench.without_vnni import restrict
from tests.conftest import MakeBundle
from tests.support.paths import ROOT


@pytest.fixture
def recording(speech: NDArray[np.float32], tmp_path: Path) -> Path:
    """A whole number of chunks as a WAV file."""
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((speech[: 20 * 5120] * 32767).astype("<i2").tobytes())
    return path


def drive(name: str, *options: str | Path) -> dict[str, Any]:
    command = [sys.executable, "-m", f"bench.peers.{name}", *map(str, options)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def test_driver_of_legato(make_bundle: MakeBundle, recording: Path) -> None:
    model = make_bundle("transformers-a")
    tokens = legato.load(model).transcribe(recording).tokens
    stream = drive("drive_legato", "--model", model, "--mode", "stream", recording)
    assert stream["symbols"] == len(tokens) > 0
    assert 0 < stream["load_seconds"] < stream["first_chunk_seconds"]
    assert stream["encoder_ms_mean"] > 0
    assert 0 < stream["chunk_ms_p50"] <= stream["chunk_ms_p95"]
    assert stream["peak_rss_mb"] > 10
    file = drive("drive_legato", "--model", model, "--mode", "file", recording)
    assert file["symbols"] == len(tokens)
    assert file["real_time_factor"] == pytest.approx(file["file_seconds"] / 6.4, rel=0.01)


def test_driver_of_the_published_layout(make_bundle: MakeBundle, recording: Path) -> None:
    model = make_bundle("transformers-a", layout="published")
    stream = drive("drive_published", "--model", model, "--mode", "stream", recording)
    file = drive("drive_published", "--model", model, "--mode", "file", recording)
    assert stream["symbols"] > 0
    assert (stream["symbols"], stream["text_start"]) == (file["symbols"], file["text_start"])
    assert min(stream["mel_ms_mean"], stream["encoder_ms_mean"], stream["chunk_ms_mean"]) > 0
    several = drive("several", "2", "bench.peers.drive_published", "--model", model, "--mode", "stream", recording)
    assert [run["symbols"] for run in several["runs"]] == [stream["symbols"]] * 2
    assert several["streams_in_real_time"] == sum(math.floor(1 / run["real_time_factor"]) for run in several["runs"])


def test_the_median_of_the_ratios_counts() -> None:
    ours, published = "stream: legato x2", "stream: published bundle x2"
    rounds: list[dict[str, Figures]] = [
        {
            ours: {"chunk_ms_mean": 40.0, "first_chunk_seconds": 1.5},
            published: {"chunk_ms_mean": reference, "real_time_factor": 0.25},
            "streams: legato's engine x2": {"streams_in_real_time": 12},
            "bandwidth": {"2": 20.0},
        }
        for reference in (80.0, 160.0, 400.0)
    ]
    rounds[1]["streams: 2 processes of the published bundle x1"] = {"streams_in_real_time": 6.0}
    figures = {figure["name"]: figure for figure in judge(rounds, targets([2], 600_000_000))}
    whole = figures["whole chunk: Legato / published bundle (2 threads)"]
    assert (whole["value"], whole["rounds"], whole["target"]) == (0.25, [0.5, 0.25, 0.1], "<= 0.4")
    assert figures["weights read per second / read bandwidth (2 threads)"]["value"] == pytest.approx(15 / 20)
    streams = figures["streams in real time on 2 cores: engine / processes of the published bundle"]
    assert streams["rounds"] == [3.0, 2.0, 3.0]
    # What was not measured has no figure.
    assert not any("file" in name for name in figures)


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="an instruction of x86-64")
@pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("objdump")), reason="needs gcc and objdump")
def test_a_library_sees_no_more_than_avx(tmp_path: Path) -> None:
    source, library = tmp_path / "ask.c", tmp_path / "ask.so"
    # The second function holds the bytes of xgetbv across two other instructions.
    source.write_text("""
        unsigned saved(void) { unsigned a, d; __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0)); return a & 0xff; }
        unsigned add(unsigned a, unsigned d) {
            __asm__ volatile("and $0xf, %%eax; add %%edx, %%eax" : "+a"(a) : "d"(d));
            return a;
        }
    """)
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    assert library.read_bytes().count(bytes.fromhex("0f01d0")) == 2
    twin = tmp_path / "twin.so"
    twin.hardlink_to(library)
    assert restrict(library) == 1
    assert twin.read_bytes().count(bytes.fromhex("0f01d0")) == 2
    changed = ctypes.CDLL(str(library))
    assert changed.saved() == 7
    assert changed.add(0x1F, 100) == 115
    assert restrict(library) == 0


def test_setup_says_first_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.peers.setup", tmp_path / "out", "--checkpoint", tmp_path / "nothing"]
    steps = ["--only", "nemo-speech", "transcribe-cpp", "--quantize", tmp_path / "quantize"]
    result = subprocess.run([*map(str, [*command, *steps])], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    for part in ("--nemo-speech: not given", "-DTRANSCRIBE_BUILD_TOOLS=ON", "no transformers folder"):
        assert part in result.stderr
    assert not (tmp_path / "out").exists()
