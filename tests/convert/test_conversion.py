"""Conversions: the files that they write, the report, and what a failed one leaves."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from filelock import FileLock

import legato
from legato.convert import convert
from tests.conftest import MakeBundle, checkpoint_path


def test_an_existing_output_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("data")
    with pytest.raises(legato.ConversionError, match="already exists"):
        convert(checkpoint_path("nemo-r3"), tmp_path / "out")
    assert (tmp_path / "out" / "precious").read_text() == "data"


def test_no_room_on_the_disk(tmp_path: Path) -> None:
    """A real file system that is full, if this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        with pytest.raises(legato.ConversionError, match="no room"):
            convert(checkpoint_path("nemo-r3"), disk / "out", precision="fp32")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path, sent: signal.Signals) -> None:
    out = tmp_path / "folder" / "out"
    command = [sys.executable, "-m", "legato", "convert", str(checkpoint_path("nemo-r3")), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any(out.parent.glob(".*")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(sent)
    assert process.wait(60) != 0
    assert list(out.parent.iterdir()) == []


def test_an_interrupt_between_the_file_of_the_lock_and_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = FileLock.acquire

    def interrupted(self: FileLock, timeout: float | None = None) -> Any:
        if not self.lock_file.endswith(".unfinished.lock"):
            return acquire(self, timeout)
        monkeypatch.setattr(FileLock, "acquire", acquire)
        Path(self.lock_file).touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(FileLock, "acquire", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(checkpoint_path("transformers-a"), tmp_path / "out", precision="fp32")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", ["native", "published"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_is_written_is_valid_onnx_and_stored_in_its_precision(
    make_bundle: MakeBundle, precision: str, layout: str
) -> None:
    folder = make_bundle("transformers-a", precision, layout)
    names = {"README.md", "config.json", "languages.json", "vocab.json"}
    names |= {f"{graph}.onnx{data}" for graph in ("encoder", "decoder", "joint") for data in ("", ".data")}
    assert {file.name for file in folder.iterdir()} == names
    for graph in ("encoder", "decoder", "joint"):
        onnx.checker.check_model(str(folder / f"{graph}.onnx"), full_check=True)
    model = onnx.load(folder / "encoder.onnx", load_external_data=False)
    stored: dict[int, int] = {}
    for tensor in model.graph.initializer:
        stored[tensor.data_type] = stored.get(tensor.data_type, 0) + int(np.prod(tensor.dims))
    kinds = {"fp32": onnx.TensorProto.FLOAT, "fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.UINT8}
    assert stored[kinds[precision]] > 0.8 * sum(stored.values())


def test_precisions_differ_little_and_the_report_says_how_much(tmp_path: Path) -> None:
    limits = {"fp16": 0.005, "int8": 0.06}
    for precision, limit in limits.items():
        report = convert(checkpoint_path("transformers-a"), tmp_path / precision, precision=precision)
        assert 0 < report.differences["encoder"] < limit
        assert report.rows == [(file.name, file.stat().st_size) for file in sorted((tmp_path / precision).iterdir())]
        assert f"{report.differences['encoder']:.2%}" in "\n".join(report.lines())


def test_progress_reaches_the_end_of_every_step(tmp_path: Path) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(step: str, done: int, total: int) -> None:
        seen.setdefault(step, []).append((done, total))

    convert(checkpoint_path("transformers-a"), tmp_path / "out", precision="fp32", progress=progress)
    assert {"encoder", "decoder", "joint", "checking"} <= seen.keys()
    assert all(steps[-1][0] == steps[-1][1] for steps in seen.values())
