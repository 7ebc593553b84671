"""The model in the package and the one for numbers: as good as their cards say, and made of their checkpoints."""

import json
import re
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import legato
from legato.audio import read_audio
from legato.audio.manifest import read_entries
from legato.convert import DEFAULT_RECIPE, convert
from legato.lab.scoring import count_characters, distance
from legato.model.registry import embedded_path
from tests.support.command import legato as legato_command
from tests.support.numbers_model import NUMBERS, NUMBERS_MODEL
from tests.support.paths import REFERENCES, ROOT

TRAINING = ROOT / "training"
CARD = Path(str(resources.files("legato"))) / "assets" / "README.md"
NUMBERS_CARD = NUMBERS_MODEL.parent / "README.md"
#: How far a rate may be from the card: INT8 products are exact, but floating-point sums differ between CPUs.
TOLERANCE = 0.01
#: Bounds of the INT8 bundles' difference from FP32: error of the frames, share of the tokens.
FRAMES_ERROR = 0.012
TOKENS_DIFFER = 0.06
SPEECH = ROOT / "tests" / "data" / "speech"
SAMPLES = Path(str(resources.files("legato"))) / "assets" / "samples"
LANGUAGES = ("en", "de", "fr", "es", "it", "hi", "ja")


MakeFp32 = Callable[[str], Path]


@pytest.fixture(scope="module")
def make_fp32(tmp_path_factory: pytest.TempPathFactory) -> MakeFp32:
    """`make_fp32(name)`: the folder of a trained model in FP32, converted once."""

    @cache
    def make(name: str) -> Path:
        out = tmp_path_factory.mktemp("fp32") / name
        convert(TRAINING / name / "model", out, precision="fp32")
        return out

    return make


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
def test_fp32_is_transformers_utterance_by_utterance(
    make_fp32: MakeFp32, name: str, clips: Path, tmp_path: Path
) -> None:
    expected = json.loads((REFERENCES / f"{name}.json").read_text("utf-8"))
    fp32 = make_fp32(name)
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


@pytest.mark.parametrize("name", ["numbers", "small"])
def test_the_bundle_is_the_converted_checkpoint(make_fp32: MakeFp32, name: str) -> None:
    """By its results: another CPU rounds some weights to the other of the two nearest integers."""
    bundle, clips = {"numbers": (NUMBERS_MODEL, NUMBERS), "small": (embedded(), SPEECH)}[name]
    fp32 = make_fp32(name)
    for file in ("vocab.json", "languages.json"):
        assert (fp32 / file).read_bytes() == (bundle / file).read_bytes()
    assert json.loads((bundle / "config.json").read_text("utf-8"))["legato"]["recipe"] == DEFAULT_RECIPE
    exact, converted = (legato.load(folder, threads=1) for folder in (fp32, bundle))
    error = energy = edits = count = 0.0
    for entry in read_entries(clips / "manifest.jsonl")[::3]:
        samples, language = read_audio(entry.audio), entry.language or "auto"
        expected, found = (recognizer.encode(samples, language=language) for recognizer in (exact, converted))
        error += float(((found - expected) ** 2).sum())
        energy += float((expected**2).sum())
        tokens = [[token.id for token in recognizer.transcribe(samples, language=language).tokens]
                  for recognizer in (exact, converted)]  # fmt: skip
        edits += distance(*tokens)
        count += len(tokens[0])
    assert 0 < (error / energy) ** 0.5 < FRAMES_ERROR
    assert edits / count < TOKENS_DIFFER


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
    # Words that the calibration was not fitted on, of recordings such as those that it was fitted on.
    raw, calibrated = together["confidence"]["raw"], together["confidence"]["calibrated"]
    assert calibrated["nce"] > raw["nce"]
    assert calibrated["ece"] < raw["ece"] + TOLERANCE
    for found, column in ((raw, 1), (calibrated, 2)):
        row = r"\| the 27 clips \| \d+ \| [\d.]+ \|" + r" [\d.]+ \|" * (column - 1) + r" ([\d.]+) \|"
        assert found["ece"] == pytest.approx(stated(CARD, row), abs=2 * TOLERANCE)


def test_silence_gives_no_text(recognizer: legato.Recognizer) -> None:
    assert recognizer.transcribe(np.zeros(16000 * 5, np.float32)).text == ""
