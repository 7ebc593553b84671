"""The model in the package: it recognises speech, and it is what its checkpoint and our converter say it is."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import legato
from bench.wer import error_rates, transcribe
from legato.convert import convert
from legato.models import embedded_path
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


@pytest.mark.parametrize("auto", [False, True])
def test_fp32_is_transformers_utterance_by_utterance(fp32: Path, auto: bool) -> None:
    expected = json.loads((REFERENCES / "numbers.json").read_text("utf-8"))
    utterances = transcribe(MANIFEST, model=str(fp32), auto=auto)
    assert len(utterances) == 96
    for utterance in utterances:
        recorded = expected[utterance.row["audio_filepath"]]["auto" if auto else utterance.row["lang"]]
        assert [token["id"] for token in utterance.result["tokens"]] == recorded, utterance.row["audio_filepath"]


def test_the_embedded_model_recognises_spoken_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEGATO_HOME", str(tmp_path))  # nothing is downloaded there
    rates = error_rates(transcribe(MANIFEST, model=None))
    assert rates["all"] <= 10, rates


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
