"""GGUF files of two programs: the same bundle as from the checkpoint, and what is refused."""

import json
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

import legato
from legato.convert import convert
from legato.convert.open import open_checkpoint
from tests.conftest import MakeBundle, checkpoint_path
from tests.support.gguf import F16, F32, Q8_0, write_asr, write_parakeet

WRITERS = [write_asr, write_parakeet]


@pytest.fixture(scope="module", params=WRITERS, ids=["asr", "parakeet"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in Q8_0."""
    target = tmp_path_factory.mktemp("gguf") / "model.gguf"
    request.param(checkpoint_path("nemo-r3"), target, Q8_0)
    return target


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("layout", ["native", "published"])
def test_an_f32_file_gives_the_same_bundle_as_its_checkpoint(
    tmp_path: Path, make_bundle: MakeBundle, write: object, layout: str
) -> None:
    assert callable(write)
    expected = make_bundle("nemo-r3", "fp32", layout)
    write(checkpoint_path("nemo-r3"), tmp_path / "model.gguf", F32)
    out = tmp_path / expected.name
    convert(tmp_path / "model.gguf", out, precision="fp32", layout=layout)
    names = sorted(file.name for file in expected.iterdir())
    assert [file.name for file in sorted(out.iterdir())] == names
    for name in set(names) - {"README.md", "config.json"}:
        assert (out / name).read_bytes() == (expected / name).read_bytes(), name
    configs = [json.loads((folder / "config.json").read_text("utf-8")) for folder in (out, expected)]
    for config, file in zip(configs, ["model.gguf", "model.nemo"], strict=True):
        assert config["legato"]["source"].pop("file") == file
    assert configs[0] == configs[1]


@pytest.mark.parametrize("checkpoint", ["nemo-bias", "nemo-contexts", "nemo-ctc", "nemo-kernel31"])
def test_weights_and_contexts_of_other_shapes(tmp_path: Path, checkpoint: str) -> None:
    original = open_checkpoint(checkpoint_path(checkpoint))
    for write in WRITERS:
        write(checkpoint_path(checkpoint), tmp_path / "model.gguf", F32)
        opened = open_checkpoint(tmp_path / "model.gguf")
        a, b = original.architecture, opened.architecture
        assert b.weight_shapes() == a.weight_shapes()
        assert opened.pieces == original.pieces and opened.prompt_dictionary == original.prompt_dictionary
        assert b.mel == a.mel and b.left_context == a.left_context
        assert set(b.right_contexts) <= set(a.right_contexts)
        opened.release()
    assert sorted(b.right_contexts) == sorted(a.right_contexts)
    original.release()


@pytest.mark.parametrize(("kind", "bound"), [(F16, 2**-11), (Q8_0, 1 / 254 + 2**-11)])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("write", WRITERS)
def test_other_types_are_within_their_rounding(
    tmp_path: Path, write: object, kind: gguf.GGMLQuantizationType, bound: float, planar: bool
) -> None:
    """F16 has 11 bits; Q8_0 rounds to 1/127 of the largest of 32 values, and that to F16."""
    assert callable(write)
    if planar and (write is not write_asr or kind != Q8_0):
        pytest.skip("only Q8_0 of NeMo-Speech.cpp has two orders")
    target = tmp_path / "model.gguf"
    write(checkpoint_path("nemo-r3"), target, kind, **({"planar": True} if planar else {}))
    original, opened = open_checkpoint(checkpoint_path("nemo-r3")), open_checkpoint(target)
    worst = 0.0
    for name in original.architecture.weight_shapes():
        if ".lstm.bias" in name:
            continue
        expected, found = original.read(name), opened.read(name)
        assert found.dtype == np.float32 and found.shape == expected.shape
        worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    assert 0 < worst <= bound
    original.release()
    opened.release()


def test_a_quantized_file_becomes_a_working_int8_bundle(tmp_path: Path, small: Path) -> None:
    report = convert(small, tmp_path / "out", recipe="per-token")
    assert 0 < report.differences["encoder"] < 0.06
    assert json.loads((tmp_path / "out" / "config.json").read_text())["legato"]["precision"] == "int8"
    assert legato.load(tmp_path / "out").languages


def refused(file: Path, *words: str) -> None:
    with pytest.raises(legato.CheckpointError) as caught:
        open_checkpoint(file)
    assert str(file) in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def replaced(small: Path, tmp_path: Path, old: bytes, new: bytes) -> Path:
    data = small.read_bytes()
    assert old in data and len(old) == len(new)
    file = tmp_path / "altered.gguf"
    file.write_bytes(data.replace(old, new))
    return file


def test_a_file_that_ends_early_is_refused_wherever_it_ends(tmp_path: Path, small: Path) -> None:
    data = small.read_bytes()
    file = tmp_path / "cut.gguf"
    for size in [0, 3, 4, 8, 23, 24, 100, *range(1000, len(data) - 1, len(data) // 12), len(data) - 64]:
        file.write_bytes(data[:size])
        refused(file)


def test_altered_bytes_never_raise_anything_else(tmp_path: Path, small: Path) -> None:
    data = bytearray(small.read_bytes())
    header = data.find(b"blocks.0" if b"blocks.0" in data else b"layers.0")
    random = np.random.default_rng(5)
    file = tmp_path / "altered.gguf"
    for _ in range(60):
        copy = bytearray(data[: len(data)])
        for _ in range(3):
            copy[int(random.integers(header + 4000))] = int(random.integers(256))
        file.write_bytes(copy)
        try:
            open_checkpoint(file).release()
        except legato.CheckpointError as error:
            assert str(file) in str(error)


@pytest.mark.parametrize("count", [2**40, 2**63])
def test_a_header_that_claims_to_be_endless(tmp_path: Path, count: int) -> None:
    file = tmp_path / "endless.gguf"
    key = b"general.architecture"
    value = struct.pack("<IIQ", 9, 0, count) + bytes(1 << 16)  # an array of bytes
    file.write_bytes(b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, len(key)) + key + value)
    refused(file, "GGUF")


def test_another_architecture_is_named(tmp_path: Path, small: Path) -> None:
    refused(replaced(small, tmp_path, b"chunked_limited", b"regular________"), "att_context_style")
    if b"parakeet" in small.read_bytes():
        refused(replaced(small, tmp_path, b"conv_norm_type", b"conv_norm_tipe"), "conv_norm_type")
    else:
        refused(replaced(small, tmp_path, b"rnnt", b"tdt_"), "head_type")


def test_missing_and_unknown_parts_are_named(tmp_path: Path, small: Path) -> None:
    data = small.read_bytes()
    layer = b"blocks.1.norm_out.bias" if b"parakeet" in data else b"layers.1.norm_out.bias"
    refused(replaced(small, tmp_path, layer, layer[:-4] + b"byas"), "layers.1.norm_out.bias")
    tokens = b"tokenizer.ggml.tokens" if b"parakeet" in data else b"asr.tokenizer.vocab"
    refused(replaced(small, tmp_path, tokens, tokens[:-1] + b"_"), tokens.decode())


def test_a_file_of_another_program(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(str(tmp_path / "llama.gguf"), arch="llama")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    refused(tmp_path / "llama.gguf", "llama", "asr or parakeet")
