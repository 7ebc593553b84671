"""What a report of `legato evaluate` says of the model, and the model card that it becomes part of."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import MakeBundle
from tests.support.command import failed, legato
from tests.support.paths import REFERENCES

CLIP = {"audio_filepath": str(REFERENCES / "audio" / "fox16k.wav"), "text": "the quick brown fox", "lang": "en-US"}


def evaluate(model: Path, home: Path) -> Path:
    """Evaluate a model with one clip, and return the folder of the report."""
    manifest, out = home / "manifest.jsonl", home / f"report-{model.name}"
    manifest.write_text(json.dumps(CLIP) + "\n", "utf-8")
    done = legato("evaluate", manifest, "--model", model, "--threads", "1", "--output", out, home=home)
    assert done.returncode == 0, done.stderr.decode()
    return out


def test_a_card_takes_only_the_report_of_its_model(make_bundle: MakeBundle, tmp_path: Path) -> None:
    mine, other = (Path(shutil.copytree(make_bundle(name), tmp_path / name)) for name in ("nemo-r3", "transformers-a"))
    out = evaluate(mine, tmp_path)
    for _ in range(2):  # the card is no part of the model
        done = legato("models", "card", mine, "--report", out, home=tmp_path)
        assert done.returncode == 0, done.stderr.decode()
        assert "## Evaluation" in (mine / "README.md").read_text("utf-8")
    message = failed(legato("models", "card", other, "--report", out / "report.md", home=tmp_path))
    assert f"is about other models than {other}: nemo-r3." in message
    assert "Evaluation" not in (other / "README.md").read_text("utf-8")
    for content in ("[", "[]", '{"models": 3}', None):
        (out / "report.json").unlink()
        if content is not None:
            (out / "report.json").write_text(content)
        assert "report.json: cannot be read" in failed(legato("models", "card", mine, "--report", out, home=tmp_path))
        (out / "report.json").touch()


def test_a_report_names_the_version_of_litert(make_bundle: MakeBundle, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    out = evaluate(make_bundle("transformers-a", "fp32", "litert"), tmp_path)
    libraries = f"onnxruntime {version('onnxruntime')}, ai-edge-litert {version('ai-edge-litert')}"
    for name in ("report.md", "report.html"):
        assert libraries in (out / name).read_text("utf-8")
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["ai-edge-litert"] == version("ai-edge-litert")
