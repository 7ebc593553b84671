"""The model in the package and the one for numbers: as good as their cards say, and made of their checkpoints."""

import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import legato
from legato.convert import convert
from legato.lab.scoring import count_characters
from legato.model.registry import embedded_path
from tests.support.command import legato as legato_command
from tests.support.numbers_model import NUMBERS, NUMBERS_MODEL, NUMBERS_SAMPLES
from tests.support.paths import REFERENCES, ROOT

TRAINING = ROOT / "training"
CARD = Path(str(resources.files("legato"))) / "assets" / "README.md"
NUMBERS_CARD = NUMBERS_MODEL.parent / "README.md"
#: How far a rate may be from the card: INT8 products are exact, but floating-point sums differ between CPUs.
TOLERANCE = 0.01
SPEECH = ROOT / "tests" / "data" / "speech"
SAMPLES = Path(str(resources.files("legato"))) / "assets" / "samples"
LANGUAGES = ("en", "de", "fr", "es", "it", "hi", "ja")


def embedded() -> Path:
    path = embedded_path()
    assert path is not None
    return path


def stated(card: Path, pattern: str) -> float:
    """Return the rate that a card states once, which the pattern finds in % there."""
    [rate] = re.findall(pattern, card.read_text("utf-8"))
    return float(rate) / 100


def evaluate(home: Path, manifest: Path, *options: str | Path) -> Path:
    """Run `legato evaluate` over recorded clips and return the folder of its reports."""
    out = home / "out"
    result = legato_command("evaluate", manifest, *options, "--output", out, home=home)
    assert result.returncode == 0, result.stderr.decode()
    return out


@pytest.mark.parametrize(("name", "clips"), [("numbers", NUMBERS), ("small", SPEECH)])
def test_fp32_is_transformers_utterance_by_utterance(name: str, clips: Path, tmp_path: Path) -> None:
    expected = json.loads((REFERENCES / f"{name}.json").read_text("utf-8"))
    fp32 = tmp_path / "fp32"
    convert(TRAINING / name / "model", fp32, precision="fp32")
    out = evaluate(tmp_path, clips / "manifest.jsonl", "--model", fp32, "--language", "manifest,auto")
    lines = [json.loads(line) for line in (out / "utterances.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 2 * len(expected)
    for line in lines:
        recorded = expected[line["id"]]["auto" if line["mode"] == "auto" else line["language"]]
        assert [token for token, _ in line["tokens"]] == recorded, (line["id"], line["mode"])


def test_the_numbers_model_is_as_good_as_its_card_says(tmp_path: Path) -> None:
    out = evaluate(tmp_path, NUMBERS / "manifest.jsonl", "--model", NUMBERS_MODEL)
    [together] = [
        cell for cell in json.loads((out / "report.json").read_text("utf-8"))["cells"] if cell["language"] == "all"
    ]
    expected = stated(NUMBERS_CARD, r"\| INT8, language given \| ([\d.]+) \|")
    assert together["raw_wer"]["rate"] == pytest.approx(expected, abs=TOLERANCE), together


@pytest.mark.parametrize(("name", "bundle"), [("numbers", NUMBERS_MODEL), ("small", None)])
def test_the_bundle_is_the_converted_checkpoint(name: str, bundle: Path | None, tmp_path: Path) -> None:
    bundle = bundle or embedded()
    again = tmp_path / bundle.name
    calibration = NUMBERS_SAMPLES / "manifest.jsonl" if name == "numbers" else None  # None: the samples in the package
    convert(TRAINING / name / "model", again, precision="int8", calibration=calibration)
    assert {file.name for file in again.iterdir()} == {file.name for file in bundle.iterdir()}
    for file in ("vocab.json", "languages.json"):
        assert (again / file).read_bytes() == (bundle / file).read_bytes()
    for file in ("encoder", "decoder", "joint"):
        ours, theirs = (tensors_of(folder / f"{file}.onnx") for folder in (again, bundle))
        assert ours.keys() == theirs.keys()
        for tensor, value in ours.items():
            # Another CPU may round the folded position tables, and a weight between two integers, the other way.
            tolerance = 1 if value.dtype.kind in "ui" else 1e-5
            np.testing.assert_allclose(value.astype(float), theirs[tensor].astype(float), rtol=0, atol=tolerance)


def tensors_of(graph: Path) -> dict[str, NDArray[np.generic]]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(graph).graph.initializer}


def samples() -> dict[str, str]:
    """What is said in each sample."""
    texts: dict[str, str] = json.loads((SAMPLES / "samples.json").read_text("utf-8"))
    return texts


def test_there_is_a_sample_of_each_language() -> None:
    assert samples().keys() == {f"{language}.flac" for language in LANGUAGES}
    assert samples().keys() == {path.name for path in SAMPLES.glob("*.flac")}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("given", [True, False])
def test_the_samples_are_recognized(recognizer: legato.Recognizer, language: str, given: bool) -> None:
    transcript = recognizer.transcribe(SAMPLES / f"{language}.flac", language=language if given else "auto")
    counts = count_characters(samples()[f"{language}.flac"], transcript.text)
    assert counts.errors <= 2, transcript.text  # of 15 to 51 characters; on the CPUs tried 0 or 1
    assert transcript.language is not None
    assert transcript.language.startswith(language)


def test_the_embedded_model_is_as_good_as_its_card_says(tmp_path: Path) -> None:
    out = evaluate(tmp_path, SPEECH / "manifest.jsonl")
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert [model["label"] for model in report["models"]] == ["embedded"]  # nothing is downloaded there
    [together] = [cell for cell in report["cells"] if cell["language"] == "all"]
    expected = stated(CARD, r"27 clips in `tests/data/speech`: CER ([\d.]+) %")
    assert together["cer"]["rate"] == pytest.approx(expected, abs=TOLERANCE), together


def test_silence_gives_no_text(recognizer: legato.Recognizer) -> None:
    assert recognizer.transcribe(np.zeros(16000 * 5, np.float32)).text == ""
