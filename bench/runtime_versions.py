"""Whether versions of ONNX Runtime compute what Legato promises: a Markdown table, one row per version.

    python bench/runtime_versions.py 1.22.0 1.32.0 --work build/runtimes

Each version is installed into a folder of its own below `--work`, without its dependencies, and used by a process of
its own with the packages of this environment. The extra `convert` is needed. The bundles are converted once, from the
recorded checkpoint `nemo-r3`, by the installed version. Columns:

- FP32: the largest difference of the encoder's frames from NeMo's, relative to their standard deviation; at most 1e-4
  is exact.
- INT8, weight-only, published INT8: the error of the frames against FP32, root mean square, relative. The published
  bundle runs in sessions with default options.
- alone = in a batch: whether the frames of a stream are the same bits alone and among four others.
- ConvInteger: whether a convolution with signed INT8 weights, as in the published INT8 bundle, can be run.
- links: whether external data behind a link to another folder is read. Legato refuses such bundles itself.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
REFERENCES = ROOT / "tests" / "references"
CHECKPOINT = REFERENCES / "nemo-r3"
BUNDLES: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "int8": {"precision": "int8"},
    "weight-only": {"precision": "int8", "recipe": "weight-only"},
    "published-fp32": {"precision": "fp32", "layout": "published"},
    "published-int8": {"precision": "int8", "layout": "published"},
}
Floats = NDArray[np.float32]


def _samples() -> Floats:
    from legato.audio.source import read_audio

    return read_audio(REFERENCES / "audio" / "fox16k.wav")


def _encode(bundle: Path) -> Floats:
    import legato

    return legato.load(bundle, threads=1).encode(_samples(), language="de-DE")


def _from_nemo(work: Path) -> float:
    expected = np.load(CHECKPOINT / "expected.npz")["offline"]
    expected = expected.reshape(-1, expected.shape[-1])
    return float(np.abs(_encode(work / "fp32") - expected).max() / expected.std())


def _error(found: Floats, expected: Floats) -> float:
    return float(np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2)))


def _app(bundle: Path) -> Floats:
    from legato.runtime.features import LogMel, MelState
    from tests.support.published_app import App

    samples = _samples()
    mel, _ = LogMel().accept(np.pad(samples, (0, -len(samples) % 5120)), MelState(), last=True)
    return App(bundle).encode(np.ascontiguousarray(mel.T), "de-DE")


def _independent(bundle: Path) -> bool:
    import legato
    from legato.runtime.features import MelState

    recognizer = legato.load(bundle, threads=1)
    encoder, samples = recognizer.pipeline.encoder, _samples()
    states = []
    for number in range(5):
        mel, _ = recognizer.pipeline.front_end.accept(np.roll(samples, 4000 * number), MelState())
        states.append(recognizer.start(language="de-DE").audio.encoder.accept(mel))
    alone = states[2]
    for _ in range(6):
        together = encoder.step(states, 4)
        [(frames, alone)] = encoder.step([alone], 4)
        if not np.array_equal(frames, together[2][0]):
            return False
        states = [state for _, state in together]
    return True


def _convolves() -> bool:
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((2, 1, 3, 3), np.int8), "w")
    values = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (("x", TensorProto.UINT8, [1, 1, 5, 5]), ("y", TensorProto.INT32, [1, 2, 3, 3]))
    ]
    graph = helper.make_graph(
        [helper.make_node("ConvInteger", ["x", "w"], ["y"])], "g", values[:1], values[1:], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    try:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception:  # NOT_IMPLEMENTED; its type is in a private module
        return False
    [y] = session.run(None, {"x": np.ones((1, 1, 5, 5), np.uint8)})
    return bool((y == 9).all())


def _follows_links(bundle: Path) -> bool:
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        inside, outside = Path(folder, "inside"), Path(folder, "outside")
        inside.mkdir()
        outside.mkdir()
        shutil.copy(bundle / "joint.onnx", inside)
        shutil.copy(bundle / "joint.onnx.data", outside)
        (inside / "joint.onnx.data").symlink_to(outside / "joint.onnx.data")
        try:
            ort.InferenceSession(str(inside / "joint.onnx"), providers=["CPUExecutionProvider"])
        except Exception:  # it refuses
            return False
    return True


def _yes(value: bool) -> str:
    return "yes" if value else "no"


#: How each column of a row is measured.
MEASURES: dict[str, Callable[[Path], str]] = {
    "FP32": lambda work: f"{_from_nemo(work):.0e}",
    "INT8": lambda work: f"{_error(_encode(work / 'int8'), _encode(work / 'fp32')):.2%}",
    "weight-only": lambda work: f"{_error(_encode(work / 'weight-only'), _encode(work / 'fp32')):.2%}",
    "published INT8": lambda work: f"{_error(_app(work / 'published-int8'), _app(work / 'published-fp32')):.2%}",
    "alone = in a batch": lambda work: _yes(all(_independent(work / name) for name in ("fp32", "int8"))),
    "ConvInteger": lambda _: _yes(_convolves()),
    "links": lambda work: _yes(_follows_links(work / "published-fp32")),
}


def check(work: Path) -> dict[str, str]:
    """Return the row of the version that this process imports."""
    row = {}
    for column, measure in MEASURES.items():
        try:
            row[column] = measure(work)
        except Exception as error:  # whatever a version raises is its result
            row[column] = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return row


def install(version: str, work: Path) -> Path:
    """Install a version without its dependencies, unless it is there, and return the folder."""
    folder = work / version
    if not (folder / "onnxruntime").is_dir():
        package = f"onnxruntime=={version}"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), package]
        subprocess.run(command, check=True)
    return folder


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="*")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "runtimes")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    if arguments.child:
        print(json.dumps(check(work / "bundles")))
        return
    from legato.convert import convert

    for name, options in BUNDLES.items():
        if not (work / "bundles" / name).is_dir():
            (work / "bundles").mkdir(parents=True, exist_ok=True)
            convert(CHECKPOINT / "model.nemo", work / "bundles" / name, **options)
    print(f"| ONNX Runtime | {' | '.join(MEASURES)} |\n|{'---|' * (len(MEASURES) + 1)}", flush=True)
    for version in arguments.version:
        path = os.pathsep.join([str(install(version, work)), str(ROOT / "src"), str(ROOT)])
        command = [sys.executable, __file__, "--child", "--work", str(work)]
        ran = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        if ran.returncode:
            print(f"| {version} | {(ran.stderr.strip().splitlines() or [str(ran.returncode)])[-1]} |", flush=True)
            continue
        row = json.loads(ran.stdout.splitlines()[-1])
        print(f"| {version} | {' | '.join(row[column] for column in MEASURES)} |", flush=True)


if __name__ == "__main__":
    main()
