"""The model card of a converted bundle: what it states is so, its program runs, and its owner may edit it."""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import legato
from legato.convert import convert
from legato.model.bundle import open_bundle
from legato.model.registry import embedded_path
from tests.conftest import MakeBundle, checkpoint_path
from tests.support.command import failed
from tests.support.command import legato as command
from tests.support.paths import REFERENCES

FOX = REFERENCES / "audio" / "fox16k.wav"


def metadata(card: str) -> dict[str, object]:
    start, block, _ = card.split("---\n", 2)
    assert start == ""
    loaded = yaml.safe_load(block)
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("layout", ["native", "published"])
def test_it_states_the_model_and_the_hash_of_every_file(make_bundle: MakeBundle, layout: str) -> None:
    folder = make_bundle("nemo-r3", "int8", layout)
    card = (folder / "README.md").read_text("utf-8")
    fields = metadata(card)
    assert fields["license"] == "other" and fields["pipeline_tag"] == "automatic-speech-recognition"
    assert {"de", "en", "fr"} <= set(fields["language"])  # type: ignore[call-overload]
    assert (
        f"# {folder.name}\n" in card and "`model.nemo`" in card and "INT8, recipe `" in card and "did not state" in card
    )
    rows = re.findall(r"^\| ([\w.]+) \| ([\d,]+) \| `(\w{64})` \|$", card, re.MULTILINE)
    assert {name for name, _, _ in rows} == {file.name for file in folder.iterdir()} - {"README.md"}
    for name, size, sha256 in rows:
        data = (folder / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (int(size.replace(",", "")), sha256)


def test_its_program_needs_only_onnx_runtime_and_gives_the_text_of_legato(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    folder = make_bundle("nemo-r3", "fp32", "published")
    [program] = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    assert set(re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE)) == {
        "json", "sys", "wave", "pathlib", "numpy", "onnxruntime"
    }  # fmt: skip
    (tmp_path / "run.py").write_text(program, "utf-8")
    run = [sys.executable, str(tmp_path / "run.py"), str(folder), str(FOX), "de-DE"]
    printed = subprocess.run(run, capture_output=True, check=True, text=True, encoding="utf-8").stdout
    expected = legato.load(folder).transcribe(FOX, language="de-DE").text
    assert printed == expected + "\n"
    assert len(expected) > 10


def test_an_edited_or_missing_card_damages_nothing(make_bundle: MakeBundle, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(make_bundle("nemo-r3"), folder)
    (folder / "README.md").write_text("mine")
    assert open_bundle(folder).name
    done = command("models", "check", str(folder), home=tmp_path)
    assert done.returncode == 0 and b"complete" in done.stdout
    (folder / "README.md").unlink()
    assert open_bundle(folder).name
    assert command("models", "card", str(folder), home=tmp_path).returncode == 0
    assert (folder / "README.md").read_text("utf-8").startswith("---\n")


def test_the_package_gets_no_card(tmp_path: Path) -> None:
    folder = embedded_path()
    assert folder is not None
    for name in ("embedded", str(folder)):
        assert "is part of the package" in failed(command("models", "card", name, home=tmp_path))
    assert not (folder / "README.md").exists()
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert command("models", "card", copy, home=tmp_path).returncode == 0


def test_the_license_of_the_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "model.nemo"
    shutil.copy(checkpoint_path("nemo-r3"), checkpoint)
    (tmp_path / "README.md").write_text(
        '---\nlanguage:\n- en\nlicense: other\nlicense_name: "openmdw-1.1"\nlicense_link: https://openmdw.ai/\n---\nText'
    )
    convert(checkpoint, tmp_path / "out", precision="fp32")
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert metadata(card)["license_name"] == "openmdw-1.1"
    assert "that of the checkpoint: openmdw-1.1 (https://openmdw.ai/)" in card


def test_the_tables_of_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    with pytest.raises(legato.EvaluationError, match=r"report\.md"):
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", precision="fp32", report=report)
    assert not (tmp_path / "out").exists()
    (report / "report.md").write_text(
        "# Evaluation, 2026-01-01\n\n- Data: x\n\n## Error rates at 320 ms\n\n| a | b |\n\n## All conditions\n\n| c |\n"
    )
    convert(checkpoint_path("nemo-r3"), tmp_path / "out", precision="fp32", report=report)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "\n## Evaluation, 2026-01-01\n\n- Data: x\n\n### Error rates at 320 ms\n\n| a | b |\n" in card
    assert "All conditions" not in card
    assert command("models", "card", str(tmp_path / "out"), home=tmp_path).returncode == 0
    assert "Evaluation" not in (tmp_path / "out" / "README.md").read_text("utf-8")
