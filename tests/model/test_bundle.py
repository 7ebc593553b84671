"""Opening a bundle: a missing, altered or unknown part is refused, and the message names it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import legato
from legato.model.bundle import FORMAT, open_bundle
from legato.model.integrity import KnownHashes
from tests.conftest import MakeBundle
from tests.support.full_disk import full_disk

FILES = (
    "config.json", "vocab.json", "languages.json", "encoder.onnx", "encoder.onnx.data", "decoder.onnx",
    "decoder.onnx.data", "joint.onnx", "joint.onnx.data",
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGATO_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bundle(make_bundle: MakeBundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(make_bundle("transformers-a"), tmp_path / "bundle"))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(legato.BundleError, match=f"{name} is missing"):
        legato.load(bundle)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_cut_off_file(bundle: Path, name: str) -> None:
    data = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data[:-1])
    with pytest.raises(legato.BundleError, match=rf"{name}: has {len(data) - 1} bytes instead of {len(data)}"):
        legato.load(bundle)


@pytest.mark.parametrize("name", FILES[1:])
@pytest.mark.parametrize("opened_before", [False, True])
def test_an_altered_byte(bundle: Path, name: str, opened_before: bool) -> None:
    if opened_before:  # a file that was verified is hashed again after a change
        open_bundle(bundle)
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(legato.BundleError, match=f"{name}: was altered"):
        legato.load(bundle)


def test_a_full_disk_leaves_nothing_in_the_cache(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KnownHashes, "_SMALL", 1)  # so that even these files are remembered
    with full_disk(10):
        open_bundle(bundle)
    assert list((tmp_path / "cache").iterdir()) == []
    open_bundle(bundle)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["verified.json"]


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(legato.BundleError, match="no such model"):
        open_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '"text"', "\x00"])
def test_a_config_that_is_no_config(bundle: Path, content: str) -> None:
    (bundle / "config.json").write_text(content)
    with pytest.raises(legato.BundleError, match=r"config\.json"):
        legato.load(bundle)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda c: c.pop("encoderLayers"), "encoderLayers is missing"),
        (lambda c: c.update(encoderLayers="many"), "many"),
        (lambda c: c["legato"].update(layout="future"), "future"),
        (lambda c: c.update(blankTokenId=10**6), "blankTokenId"),
    ],
)
def test_a_config_of_something_else(bundle: Path, change: Callable[[dict[str, Any]], object], word: str) -> None:
    config = json.loads((bundle / "config.json").read_text())
    change(config)
    (bundle / "config.json").write_text(json.dumps(config))
    with pytest.raises(legato.BundleError, match=word):
        legato.load(bundle)


def changed(bundle: Path, **ours: object) -> Path:
    """The bundle, with other values under the key `legato` of its configuration."""
    config = json.loads((bundle / "config.json").read_text())
    config["legato"].update(ours)
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


def test_a_bundle_of_a_newer_format(bundle: Path) -> None:
    with pytest.raises(legato.BundleError, match=rf"format {FORMAT + 1}.*up to {FORMAT}\. Update Legato"):
        open_bundle(changed(bundle, format=FORMAT + 1))
    with pytest.raises(legato.BundleError, match=r"config\.json"):
        open_bundle(changed(bundle, format="new"))
    open_bundle(changed(bundle, format=FORMAT))


@pytest.mark.parametrize(("written", "layout"), [("native", "native"), ("reference", "published"), ("published",) * 2])
def test_layouts_have_one_name(make_bundle: MakeBundle, tmp_path: Path, written: str, layout: str) -> None:
    bundle = Path(shutil.copytree(make_bundle("transformers-a", "fp32", layout), tmp_path / "bundle"))
    assert open_bundle(changed(bundle, layout=written)).layout == layout


def test_a_bundle_that_says_nothing_of_its_layout_is_a_published_one(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(make_bundle("transformers-a", "fp32", "published"), tmp_path / "bundle"))
    config = json.loads((bundle / "config.json").read_text())
    del config["legato"]
    (bundle / "config.json").write_text(json.dumps(config))
    opened = open_bundle(bundle)
    assert (opened.layout, opened.precision, opened.reduce_range) == ("published", "unknown", False)


def test_weights_of_a_reduced_range(bundle: Path) -> None:
    assert not open_bundle(bundle).reduce_range
    assert open_bundle(changed(bundle, narrowWeights=True)).reduce_range


def test_a_graph_that_is_no_graph_in_a_published_bundle(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_text())
    del config["legato"]
    (bundle / "config.json").write_text(json.dumps(config))
    (bundle / "encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(legato.BundleError, match=r"encoder\.onnx: is not an ONNX graph"):
        legato.load(bundle)


def test_a_slot_that_the_model_does_not_have(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_text())
    del config["legato"]["files"]
    (bundle / "config.json").write_text(json.dumps(config))
    languages = json.loads((bundle / "languages.json").read_text())
    languages["promptDictionary"]["xx-XX"] = 128
    (bundle / "languages.json").write_text(json.dumps(languages))
    with pytest.raises(legato.BundleError, match="xx-XX"):
        legato.load(bundle)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_cache_is_no_error(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    legato.load(bundle)


def test_importing_legato_loads_no_hub() -> None:
    script = "import sys, legato; print('huggingface_hub' in sys.modules, 'legato.model.registry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == (
        "False True\n"
    )
