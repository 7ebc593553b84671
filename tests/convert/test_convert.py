"""What a conversion refuses, what it leaves behind, and what it writes."""

import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from safetensors.numpy import load_file, save_file

import legato
from legato.convert import convert
from legato.convert.open import open_checkpoint
from tests.conftest import MakeBundle, checkpoint_path
from tests.support.paths import REFERENCES


def altered_folder(tmp_path: Path, file: str, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of transformers-a with one JSON file changed."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(REFERENCES / "transformers-a", folder)
    loaded = json.loads((folder / file).read_text())
    change(loaded)
    (folder / file).write_text(json.dumps(loaded))
    return folder


def altered_nemo(
    tmp_path: Path,
    change: Callable[[dict[str, Any]], object] = lambda _: None,
    weights: Callable[[bytes], bytes] = lambda w: w,
) -> Path:
    """A copy of nemo-r3 with its configuration or its weights changed."""
    target = tmp_path / "altered.nemo"
    with tarfile.open(checkpoint_path("nemo-r3")) as source, tarfile.open(target, "w") as copy:
        for member in source:
            if not member.isfile():
                continue
            stream = source.extractfile(member)
            assert stream is not None
            data = stream.read()
            if member.name.endswith(".yaml"):
                config = yaml.safe_load(data)
                change(config)
                data = yaml.safe_dump(config).encode()
            elif member.name.endswith(".ckpt"):
                data = weights(data)
            member.size = len(data)
            copy.addfile(member, io.BytesIO(data))
    return target


def with_pickle(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change the pickle inside a file saved by torch."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as copy:
        for info in source.infolist():
            content = source.read(info)
            copy.writestr(info.filename, change(content) if info.filename.endswith("data.pkl") else content)
    return out.getvalue()


def assert_refused(checkpoint: Path, out: Path, *words: str) -> None:
    with pytest.raises(legato.CheckpointError) as caught:
        convert(checkpoint, out, precision="fp32")
    for word in words:
        assert word in str(caught.value)
    assert str(checkpoint) in str(caught.value)
    assert not out.exists()
    assert [entry for entry in out.parent.iterdir() if entry.name.startswith(".")] == []


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    bomb = pickle.dumps({"encoder.pre_encode.out.weight": Bomb(trap)}, protocol=2)
    checkpoint = altered_nemo(tmp_path, weights=lambda data: with_pickle(data, lambda _: bomb))
    assert_refused(checkpoint, tmp_path / "out", "mkdir", "run code", "Refused")
    assert not trap.exists()


@pytest.mark.parametrize("name", ["getattr", "eval", "__import__", "open"])
def test_builtins_are_refused(tmp_path: Path, name: str) -> None:
    bad = b"cbuiltins\n" + name.encode() + b"\n(tR."
    checkpoint = altered_nemo(tmp_path, weights=lambda data: with_pickle(data, lambda _: bad))
    assert_refused(checkpoint, tmp_path / "out", name)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("encoder", "self_attention_model", "rel_pos_local_attn"),
        ("encoder", "att_context_style", "regular"),
        ("encoder", "conv_norm_type", "batch_norm"),
        ("encoder", "causal_downsampling", False),
        ("encoder", "untie_biases", False),
        ("preprocessor", "normalize", "per_feature"),
    ],
)
def test_another_nemo_architecture_is_named(tmp_path: Path, section: str, key: str, value: object) -> None:
    checkpoint = altered_nemo(tmp_path, lambda config: config[section].update({key: value}))
    assert_refused(checkpoint, tmp_path / "out", key, section)


def test_a_nemo_model_without_prompt(tmp_path: Path) -> None:
    checkpoint = altered_nemo(tmp_path, lambda config: config["model_defaults"].pop("prompt_dictionary"))
    assert_refused(checkpoint, tmp_path / "out", "prompt")


@pytest.mark.parametrize(
    ("file", "change", "word"),
    [
        ("config.json", lambda c: c.update(model_type="whisper"), "whisper"),
        ("config.json", lambda c: c["encoder_config"].update(num_key_value_heads=2), "num_key_value_heads"),
        ("config.json", lambda c: c["encoder_config"].update(hidden_act="relu"), "hidden_act"),
        ("processor_config.json", lambda c: c.pop("prompt_dictionary"), "prompt_dictionary"),
    ],
)
def test_another_transformers_architecture_is_named(
    tmp_path: Path, file: str, change: Callable[[dict[str, Any]], object], word: str
) -> None:
    assert_refused(altered_folder(tmp_path, file, change), tmp_path / "out", word)


def test_missing_and_unknown_weights_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(REFERENCES / "transformers-a", folder)
    weights = load_file(folder / "model.safetensors")
    name = "encoder.layers.1.conv.norm.bias"
    save_file({k: v for k, v in weights.items() if k != name}, folder / "model.safetensors")
    assert_refused(folder, tmp_path / "out", "layers.1.conv.batch_norm.bias")
    save_file(weights | {"encoder.adapter.weight": np.zeros(3, np.float32)}, folder / "model.safetensors")
    assert_refused(folder, tmp_path / "out", "encoder.adapter.weight")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1000])
    assert_refused(folder, tmp_path / "out", "truncated")


@pytest.mark.parametrize("content", [b"", b"not a tar at all" * 100])
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.nemo"
    file.write_bytes(content)
    assert_refused(file, tmp_path / "out", "not a .nemo archive")


def test_a_cut_off_nemo(tmp_path: Path) -> None:
    file = tmp_path / "model.nemo"
    data = checkpoint_path("nemo-r3").read_bytes()
    file.write_bytes(data[: len(data) // 2])
    assert_refused(file, tmp_path / "out")


def test_weights_that_end_early(tmp_path: Path) -> None:
    checkpoint = altered_nemo(tmp_path, weights=lambda data: data[: len(data) // 2])
    assert_refused(checkpoint, tmp_path / "out", "model_weights.ckpt")


def test_a_path_in_the_archive_cannot_leave_it(tmp_path: Path) -> None:
    target = tmp_path / "evil.nemo"
    shutil.copy(checkpoint_path("nemo-r3"), target)
    with tarfile.open(target, "a") as archive:
        member = tarfile.TarInfo("../escaped.txt")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    checkpoint = open_checkpoint(target)
    assert checkpoint.architecture.width == 64
    checkpoint.release()
    assert not (tmp_path / "escaped.txt").exists()


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


@pytest.mark.parametrize("layout", ["native", "published"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_is_written_is_valid_onnx_and_stored_in_its_precision(
    make_bundle: MakeBundle, precision: str, layout: str
) -> None:
    folder = make_bundle("transformers-a", precision, layout)
    names = {"config.json", "languages.json", "vocab.json"}
    names |= {f"{graph}.onnx{data}" for graph in ("encoder", "decoder", "joint") for data in ("", ".data")}
    assert {file.name for file in folder.iterdir()} == names
    for graph in ("encoder", "decoder", "joint"):
        onnx.checker.check_model(str(folder / f"{graph}.onnx"), full_check=True)
    model = onnx.load(folder / "encoder.onnx", load_external_data=False)
    stored: dict[int, int] = {}
    for tensor in model.graph.initializer:
        stored[tensor.data_type] = stored.get(tensor.data_type, 0) + int(np.prod(tensor.dims))
    signed = onnx.TensorProto.INT8 if layout == "published" else onnx.TensorProto.UINT8
    kinds = {"fp32": onnx.TensorProto.FLOAT, "fp16": onnx.TensorProto.FLOAT16, "int8": signed}
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
