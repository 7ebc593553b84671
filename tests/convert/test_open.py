"""Opening checkpoints: what is refused, and what a hostile archive cannot do."""

import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

import legato
from legato.convert import convert
from legato.convert.open import open_checkpoint
from tests.conftest import checkpoint_path
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
