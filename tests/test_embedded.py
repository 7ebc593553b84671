"""The model in the package: it recognises speech, and it is what its checkpoint and our converter say it is."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import legato
from legato.convert import convert
from legato.models import embedded_path
from tests.command import legato as legato_command
from tests.conftest import REFERENCES

ROOT = Path(__file__).parent.parent
CHECKPOINT = ROOT / "recipes" / "numbers" / "model"
MANIFEST = ROOT / "tests" / "data" / "numbers" / "manifest.jsonl"
SAMPLES = Path(str(resources.files("legato"))) / "assets" / "samples"


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("numbers") / "fp32"
    convert(CHECKPOINT, out, precision="fp32")
    return out


def evaluate(home: Path, *options: str | Path) -> Path:
    """Run `legato evaluate` over the recorded clips; gives the folder of its reports."""
    out = home / "out"
    result = legato_command("evaluate", MANIFEST, *options, "--output", out, home=home)
    assert result.returncode == 0, result.stderr.decode()
    return out


def test_fp32_is_transformers_utterance_by_utterance(fp32: Path, tmp_path: Path) -> None:
    expected = json.loads((REFERENCES / "numbers.json").read_text("utf-8"))
    out = evaluate(tmp_path, "--model", fp32, "--language", "manifest,auto")
    lines = [json.loads(line) for line in (out / "utterances.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 2 * 96
    for line in lines:
        recorded = expected[line["id"]]["auto" if line["mode"] == "auto" else line["language"]]
        assert [token for token, _ in line["tokens"]] == recorded, (line["id"], line["mode"])


def test_the_embedded_model_recognises_spoken_numbers(tmp_path: Path) -> None:
    report = json.loads((evaluate(tmp_path) / "report.json").read_text("utf-8"))
    assert [model["label"] for model in report["models"]] == ["embedded"]  # nothing is downloaded there
    [together] = [cell for cell in report["cells"] if cell["language"] == "all"]
    assert together["raw_wer"]["rate"] <= 0.1, together


def test_the_embedded_bundle_is_the_converted_checkpoint(tmp_path: Path) -> None:
    embedded = embedded_path()
    assert embedded is not None
    again = tmp_path / embedded.name
    convert(CHECKPOINT, again, precision="int8")
    assert {file.name for file in again.iterdir()} == {file.name for file in embedded.iterdir()}
    for name in ("vocab.json", "languages.json"):
        assert (again / name).read_bytes() == (embedded / name).read_bytes()
    for name in ("encoder", "decoder", "joint"):
        ours, theirs = (tensors_of(folder / f"{name}.onnx") for folder in (again, embedded))
        assert ours.keys() == theirs.keys()
        for tensor, value in ours.items():
            # Another CPU may round the folded position tables, and a weight between two integers, the other way.
            tolerance = 1 if value.dtype.kind in "ui" else 1e-5
            np.testing.assert_allclose(value.astype(float), theirs[tensor].astype(float), rtol=0, atol=tolerance)


def tensors_of(graph: Path) -> dict[str, NDArray[np.generic]]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(graph).graph.initializer}


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "it", "hi"])
def test_the_samples_are_recognised(language: str) -> None:
    texts = json.loads((SAMPLES / "samples.json").read_text("utf-8"))
    transcript = legato.load("embedded").transcribe(SAMPLES / f"{language}.flac", language=language)
    assert transcript.text == texts[f"{language}.flac"]
    assert transcript.language is not None
    assert transcript.language.startswith(language)


def test_silence_gives_no_text() -> None:
    assert legato.load("embedded").transcribe(np.zeros(16000 * 5, np.float32)).text == ""
