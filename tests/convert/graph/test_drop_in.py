"""A converted bundle gives an application for published bundles what it gives Legato, on any CPU."""

import json
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

import legato
from bench.without_vnni import restrict
from legato.audio.source import read_audio
from legato.runtime.features import LogMel, MelState
from tests.conftest import MakeBundle
from tests.support import published_app
from tests.support.graphs import sign_weights
from tests.support.paths import DATA, ROOT
from tests.support.published_app import App

Floats = NDArray[np.float32]

#: The recordings of each trained model.
CLIPS = {"small": DATA / "speech", "numbers": DATA / "numbers"}
WINDOW = 32 * 160
#: Error of the encoder frames with the recipe `dynamic-per-tensor`; 0.011 (numbers) and 0.021 (small) were measured.
INT8_ERROR = 0.025


@pytest.fixture(scope="session")
def make_trained(make_bundle: MakeBundle) -> MakeBundle:
    """`make_trained(model, precision)`: the folder of a trained model in the published layout."""
    return lambda name, precision: make_bundle(ROOT / "training" / name / "model", precision, "published")


@cache
def clips(name: str) -> dict[str, tuple[Floats, Floats, str]]:
    """Samples, log-mel [bins, frames] of whole windows, and language of every recording of a model."""
    found = {}
    for line in (CLIPS[name] / "manifest.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        samples = read_audio(CLIPS[name] / entry["audio_filepath"])
        padded = np.pad(samples, (0, -len(samples) % WINDOW))
        mel, _ = LogMel().accept(padded, MelState(), last=True)
        found[f"{entry['audio_filepath']} {entry['lang']}"] = samples, np.ascontiguousarray(mel.T), entry["lang"]
    return found


def error(found: dict[str, Floats], expected: dict[str, Floats]) -> float:
    """Root mean square of the difference of all frames, relative to that of the expected ones."""
    a, b = (np.concatenate([frames[name] for name in expected]).astype(np.float64) for frames in (found, expected))
    return float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)))


@pytest.mark.parametrize("name", list(CLIPS))
def test_every_clip_has_the_text_that_legato_gives_it(make_trained: MakeBundle, name: str) -> None:
    frames: dict[str, dict[str, Floats]] = {}
    differ = {}
    for precision in ("fp32", "fp16", "int8"):
        folder = make_trained(name, precision)
        app, recognizer = App(folder), legato.load(folder, threads=1)
        frames[precision] = {clip: app.encode(mel, language) for clip, (_, mel, language) in clips(name).items()}
        for clip, (samples, _, language) in clips(name).items() if precision != "int8" else ():
            text = app.text(app.search(frames[precision][clip]))
            expected = recognizer.transcribe(samples, language=language).text
            if text != expected:
                differ[precision, clip] = (text, expected)
    assert not differ
    assert error(frames["fp16"], frames["fp32"]) < 0.001
    assert error(frames["int8"], frames["fp32"]) < INT8_ERROR


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="an instruction of x86-64")
@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump")
def test_int8_is_exact_on_a_cpu_without_vnni(make_trained: MakeBundle, tmp_path: Path) -> None:
    """With ONNX Runtime's default options, U8 x S8 products saturate on such a CPU; our weights are unsigned."""
    packages = tmp_path / "packages"
    shutil.copytree(Path(ort.__file__).parent, packages / "onnxruntime", copy_function=link)
    for library in (packages / "onnxruntime" / "capi").glob("onnxruntime_pybind11_state*.so"):
        assert restrict(library)
    mels = {name: mel for name, (_, mel, _) in list(clips("small").items())[::3]}
    np.savez(tmp_path / "mels.npz", allow_pickle=False, **mels)
    unsigned = make_trained("small", "int8")
    signed = Path(shutil.copytree(unsigned, tmp_path / "signed"))
    sign_weights(signed / "encoder.onnx")
    bundles = {"fp32": make_trained("small", "fp32"), "unsigned": unsigned, "signed": signed}
    frames: dict[str, dict[str, Floats]] = {}
    for name, folder in bundles.items():
        out = tmp_path / f"{name}.npz"
        command = [sys.executable, published_app.__file__, str(folder), str(tmp_path / "mels.npz"), str(out)]
        subprocess.run(command, env=os.environ | {"PYTHONPATH": str(packages)}, check=True, capture_output=True)
        with np.load(out) as found:
            frames[name] = dict(found)
    errors = {name: error(frames[name], frames["fp32"]) for name in ("unsigned", "signed")}
    assert errors["unsigned"] < INT8_ERROR
    assert errors["signed"] > 1.3 * errors["unsigned"]


def link(source: str, target: str) -> None:
    """Copy a file, without its contents if both places are on one disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
