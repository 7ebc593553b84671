"""Odd or damaged LiteRT models run, or are a BundleError that says why not: no traceback, crash or endless work."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import legato
from legato.model.bundle import open_bundle
from legato.runtime.trial import check_runs
from tests.conftest import MakeBundle
from tests.support.command import failed
from tests.support.command import legato as command
from tests.support.litert_files import (
    PREFIX,
    Change,
    as_constant,
    code,
    edit,
    forget_hashes,
    graph,
    more_outputs,
    names,
    operator,
    short_table,
    splits,
    tensor,
    without_input,
)
from tests.support.mutations import mutate

ROLES = (
    "audio_signal", "audio_length", "language_mask", "pre_cache", "cache_last_channel", "cache_last_time",
    "cache_last_channel_len",
)  # fmt: skip
ARGS = [f"serving_default_args_{number}:0" for number in range(7)]
CUSTOM = {"builtinCode": 32, "deprecatedBuiltinCode": 32}
HUGE = np.array([1, 1, 1_996_488_832], np.int32)


def both(*changes: Change) -> Change:
    return lambda model: [change(model) for change in changes]


RUNS: list[tuple[str, str, Change]] = [
    ("roles as names, in another order", "encoder", names("inputs", ROLES, backwards=True)),
    ("numbers from 10", "encoder", names("inputs", [f"args_{number}" for number in range(10, 17)])),
    ("an input without a number", "encoder", names("inputs", [*ARGS[:2], "mask", *ARGS[3:]])),
    ("a role twice", "encoder", names("inputs", [*ARGS[:2], "x", "y", *ARGS[4:6], "audio_signal"])),
    ("no audio_length", "encoder", as_constant(1, np.array([32]))),
    (
        "no audio_length, and numbers without a gap",
        "encoder",
        both(as_constant(1, np.array([32])), names("inputs", ARGS[:6], backwards=True)),
    ),
    ("no audio_length, and no numbers", "encoder", both(as_constant(1, np.array([32])), names("inputs", "abcdef"))),
    ("another output of the encoder", "encoder", more_outputs),
    ("another output of the decoder", "decoder", more_outputs),
    ("another output of the joint", "joint", more_outputs),
]
REFUSED: list[tuple[str, Change, str]] = [
    (
        "encoder",
        without_input(2),
        r"encoder\.tflite: has no input language_mask\. Its inputs are: audio_signal, audio_l",
    ),
    ("decoder", without_input(1), r"decoder\.tflite: has no input h\. Its inputs are: token, c"),
    ("joint", code(version=99), r"joint\.tflite: .*Update it with: pip install --upgrade ai-edge-litert"),
    ("joint", code(builtinCode=5000, deprecatedBuiltinCode=127), "pip install --upgrade ai-edge-litert"),
    ("joint", code(customCode=b"FlexErf", **CUSTOM), r"joint\.tflite: .* not LiteRT's own\. Choose another model\."),
    ("joint", code(customCode=b"Mine", **CUSTOM), r"joint\.tflite: .* not LiteRT's own\. Choose another model\."),
    ("decoder", short_table, r"decoder\.tflite: LiteRT cannot run it \(gather index out of bounds"),
    ("decoder", splits, r"decoder\.tflite: .*damaged \(an operator with 2 outputs that writes 4456452\)"),
    ("decoder", tensor(1, name=b"\xff\xfe"), r"decoder\.tflite: LiteRT cannot load it \('utf-8' codec"),
    ("decoder", tensor(1, shape=HUGE), r"decoder\.tflite: .*damaged \(a tensor of the shape \[1, 1, 1996488832\]"),
    ("decoder", tensor(0, shape=np.array([-3, 4], np.int32)), r"damaged \(a tensor of the shape \[-3, 4\]"),
    ("decoder", tensor(0, shape=np.array([1, 2], np.int32)), r"decoder\.tflite: "),
    ("decoder", tensor(0, shape=np.array([1, 20_000], np.int32)), r"damaged \(a tensor of the shape \[1, 20000\] with"),
    ("decoder", tensor(0, type=13), r"decoder\.tflite: "),
    ("decoder", tensor(0, buffer=100_000), "damaged .*an index beyond"),
    ("decoder", operator(opcodeIndex=1000), "damaged .*an index beyond"),
    ("decoder", operator(inputs=np.array([3, 100_000], np.int32)), "damaged .*an index beyond"),
    ("decoder", operator(inputs=np.array([-1, 0], np.int32)), "damaged .*no other has written"),
    ("decoder", operator(inputs=np.array([3, 5_000], np.int32)), "damaged .*an index beyond"),
    ("decoder", operator(outputs=np.array([-1], np.int32)), "damaged .*an index beyond"),
    ("decoder", operator(outputs=np.array([0], np.int32)), "damaged .*no other has written"),
    ("decoder", graph(inputs=np.array([0, 1, 9999], np.int32)), "damaged .*an index beyond"),
    ("decoder", graph(outputs=np.array([-2], np.int32)), "damaged .*an index beyond"),
    ("decoder", graph(operators=[]), "damaged .*an output that no operator writes"),
    ("decoder", lambda model: setattr(model, "subgraphs", []), "damaged .*it has no graph"),
    ("decoder", lambda model: setattr(model, "buffers", []), "damaged .*an index beyond"),
]


@pytest.fixture
def bundle(make_bundle: MakeBundle, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(make_bundle("transformers-a", "fp32", "litert"), tmp_path / "bundle"))
    forget_hashes(folder)
    return folder


@pytest.mark.parametrize(("name", "change"), [case[1:] for case in RUNS], ids=[case[0] for case in RUNS])
def test_a_variation_that_runs(
    make_bundle: MakeBundle, bundle: Path, fox: NDArray[np.float32], name: str, change: Change
) -> None:
    edit(bundle / f"{PREFIX}{name}.tflite", change)
    check_runs(bundle)
    same = make_bundle("transformers-a", "fp32", "litert")
    one, other = (legato.load(folder, threads=1).transcribe(fox, language="en-US") for folder in (bundle, same))
    assert one.tokens
    assert one == other


@pytest.mark.parametrize(("name", "change", "words"), REFUSED)
def test_a_variation_that_is_refused(bundle: Path, name: str, change: Change, words: str) -> None:
    edit(bundle / f"{PREFIX}{name}.tflite", change)
    with pytest.raises(legato.BundleError, match=words) as refusal:
        check_runs(bundle)
    assert str(bundle) in str(refusal.value)
    assert str(refusal.value).isprintable()


def test_mutations(bundle: Path) -> None:
    for name in ("decoder", "joint"):
        file = bundle / f"{PREFIX}{name}.tflite"
        data = file.read_bytes()
        for seed in range(100):
            generator = random.Random(seed)
            file.write_bytes(mutate(data[:12_000], generator, structured=False) + data[12_000:])
            try:
                open_bundle(bundle)
            except legato.BundleError as error:
                assert str(error).isprintable(), seed
        file.write_bytes(data)


def replace_litert(folder: Path, code: str) -> str:
    """Write a package in the place of LiteRT; return what PYTHONPATH must be."""
    package = folder / "other" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(code)
    return str(package.parent)


def test_a_crash_of_litert_is_a_message(bundle: Path, tmp_path: Path) -> None:
    path = replace_litert(tmp_path, "import os\nos.abort()\n")
    assert "its process died with exit code" in failed(
        command("models", "check", bundle, home=tmp_path, PYTHONPATH=path)
    )


def test_litert_that_never_ends(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", replace_litert(tmp_path, "while True:\n    pass\n"))
    with pytest.raises(legato.BundleError, match="did not run its graphs within 2 s"):
        check_runs(bundle, limit_s=2)


def test_litert_that_cannot_be_imported(bundle: Path, tmp_path: Path) -> None:
    path = replace_litert(tmp_path, "raise ImportError('libGL is missing')\n")
    message = failed(command("models", "check", bundle, home=tmp_path, PYTHONPATH=path))
    assert "libGL is missing" in message
    assert "[litert]'" in message
