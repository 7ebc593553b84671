"""A bundle with a missing or altered file is refused with the file's name."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import legato
from legato.model.bundle import open_bundle
from tests.conftest import MakeBundle

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
    if opened_before:  # a file that was found right once is hashed again when it has changed
        open_bundle(bundle)
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(legato.BundleError, match=f"{name}: was altered"):
        legato.load(bundle)


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
        (lambda c: c.pop("encoderHidden"), "encoderHidden"),
        (lambda c: c.update(encoderLayers="many"), "many"),
        (lambda c: c["legato"].update(layout="future"), "future"),
        (lambda c: c.update(blankTokenId=10**6), "token"),
    ],
)
def test_a_config_of_something_else(bundle: Path, change: Callable[[dict[str, Any]], object], word: str) -> None:
    config = json.loads((bundle / "config.json").read_text())
    change(config)
    (bundle / "config.json").write_text(json.dumps(config))
    with pytest.raises(legato.BundleError, match=word):
        legato.load(bundle)


def test_a_graph_that_is_no_graph_in_a_published_bundle(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_text())
    del config["legato"]
    (bundle / "config.json").write_text(json.dumps(config))
    (bundle / "encoder.onnx").write_bytes(b"not a graph")
    with pytest.raises(legato.BundleError, match=r"encoder\.onnx: ONNX Runtime cannot load it"):
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


def test_a_bare_code_is_that_of_its_locales_if_they_agree(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert "ja" not in opened.prompts
    assert opened.prompt_slot("JA") == opened.prompts["ja-JP"] == opened.prompts["ja-JA"]
    assert opened.prompts["zh-CN"] != opened.prompts["zh-TW"]
    with pytest.raises(legato.LanguageError, match="zh-CN, zh-TW"):
        opened.prompt_slot("zh")
    with pytest.raises(legato.LanguageError, match="ja-JP"):
        opened.prompt_slot("ja-XX")
