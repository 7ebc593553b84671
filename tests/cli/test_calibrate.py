"""`legato calibrate` on a real model and recordings, and who uses the result: library, command line, server, report."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import legato
from legato.audio.source import read_audio
from legato.model.bundle import open_bundle
from legato.model.calibration import CALIBRATION
from tests.conftest import MakeBundle
from tests.support.command import failed
from tests.support.command import legato as run_legato
from tests.support.numbers_model import NUMBERS, NUMBERS_MODEL
from tests.support.server import Server

CLIP = NUMBERS / "en-numbers-fsdd-1.flac"

pytest.importorskip("whisper_normalizer", reason="the extra 'evaluate' is not installed")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips of the numbers, with another first word in the text of every third: the model is too sure of these."""
    rows = [json.loads(line) for line in (NUMBERS / "manifest.jsonl").read_text("utf-8").splitlines()]
    for number, row in enumerate(rows):
        row["audio_filepath"] = str(NUMBERS / row["audio_filepath"])
        if number % 3 == 0:
            row["text"] = " ".join(["hola", *row["text"].split()[1:]])
    path = tmp_path_factory.mktemp("recordings") / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def calibrated(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the numbers model, calibrated."""
    home = tmp_path_factory.mktemp("calibrate")
    model = Path(shutil.copytree(NUMBERS_MODEL, home / "model"))
    result = run_legato("calibrate", model, recordings, "--threads", "1", home=home)
    assert result.returncode == 0, result.stderr.decode()
    words = json.loads((model / CALIBRATION).read_text("utf-8"))["fit"]
    assert words["sentences"] == 96
    assert words["ece"]["held_out"] < words["ece"]["raw"]
    method = json.loads((model / CALIBRATION).read_text("utf-8"))["method"]
    assert words["log_loss"][method] == min(words["log_loss"][name] for name in ("temperature", "isotonic"))
    assert f"Method: {method}" in result.stdout.decode()
    return model


def confidences(transcript: legato.Transcript) -> list[float]:
    return [word.confidence for word in transcript.words]


def test_probabilities_take_the_place_of_confidences(calibrated: Path) -> None:
    model = legato.load(calibrated, threads=1)
    calibration = model.bundle.calibration
    assert calibration is not None
    for chunk_ms in (80, 320, 1120):
        raw = model.transcribe(CLIP, language="en", chunk_ms=chunk_ms)
        found = model.transcribe(CLIP, language="en", chunk_ms=chunk_ms, confidence="calibrated")
        assert found == raw  # the text, the times and the tokens
        assert confidences(found) == [calibration(value) for value in confidences(raw)]
        assert [token.logprob for token in found.tokens] == [token.logprob for token in raw.tokens]
        assert found.segments[0].confidence == min(confidences(found)[: len(found.segments[0].words)])


def test_pieces_of_any_size_and_beams_have_the_same_map(calibrated: Path) -> None:
    model = legato.load(calibrated, threads=1)
    calibration = model.bundle.calibration
    assert calibration is not None
    samples = read_audio(CLIP)
    for beam in (1, 3):
        raw = model.transcribe(samples, language="en", beam=beam)
        with model.stream(language="en", confidence="calibrated", beam=beam) as stream:
            for start in range(0, len(samples), 777):
                stream.accept(samples[start : start + 777])
            final = stream.finish()[-1]
        assert isinstance(final, legato.Final)
        expected = [calibration(value) for value in confidences(raw)]
        assert confidences(final.transcript) == pytest.approx(expected, abs=0.01)


def test_the_command_line(calibrated: Path, tmp_path: Path) -> None:
    """A folder is done again on the other scale, and the file says the same as the library."""
    shutil.copy(CLIP, tmp_path / "clip.flac")
    common = ("--model", calibrated, "-l", "en", "-f", "json", "-o", tmp_path / "out")
    model = legato.load(calibrated, threads=1)
    for scale in ("raw", "calibrated"):
        result = run_legato("transcribe", tmp_path, *common, "--confidence", scale, home=tmp_path / "home")
        assert result.returncode == 0, result.stderr.decode()
        words = json.loads((tmp_path / "out" / "clip.json").read_text("utf-8"))["words"]
        wanted = confidences(model.transcribe(CLIP, language="en", confidence=scale))
        assert [word["confidence"] for word in words] == pytest.approx(wanted, abs=0.002)
    message = failed(run_legato("transcribe", CLIP, "--confidence", "percent", home=tmp_path / "home"))
    assert "Use raw or calibrated" in message


def test_without_a_calibration_the_error_says_what_to_do(tmp_path: Path) -> None:
    for command in (("transcribe", CLIP), ("serve", "--port", "0")):
        result = run_legato(*command, "--model", NUMBERS_MODEL, "--confidence", "calibrated", home=tmp_path)
        assert "has no calibration" in (message := failed(result))
        assert "legato calibrate MODEL MANIFEST" in message
    with pytest.raises(ValueError, match="'raw' or 'calibrated', not 'percent'"):
        legato.load(NUMBERS_MODEL).stream(confidence="percent")  # type: ignore[arg-type]
    with pytest.raises(legato.LegatoError, match="has no calibration"):
        legato.load(NUMBERS_MODEL).transcribe(CLIP, confidence="calibrated")


def test_what_is_wrong_with_a_manifest_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{bad\n{"audio_filepath": "missing.wav", "text": "one"}\n', "utf-8")
    result = run_legato("calibrate", NUMBERS_MODEL, tmp_path / "m.jsonl", "--dry-run", home=tmp_path)
    assert "at least 100 recognized words" in (message := failed(result))
    assert "line 1: not JSON" in message
    assert "missing.wav" in message


def test_another_measure_has_no_calibration(calibrated: Path) -> None:
    model = legato.load(calibrated, confidence=legato.Confidence("entropy", "mean"))
    with pytest.raises(legato.LegatoError, match="default confidence"):
        model.transcribe(CLIP, confidence="calibrated")


def test_the_server_says_which_words_to_mark(calibrated: Path, tmp_path: Path) -> None:
    with Server(tmp_path, "--model", str(calibrated), "--confidence", "calibrated") as server:
        choices = httpx.get(f"{server.url}/v1/stream").json()
        assert (choices["confidence"], choices["marks"]) == ("calibrated", {"unsure": 0.5, "doubtful": 0.8})
        with CLIP.open("rb") as file:
            answer = httpx.post(
                f"{server.url}/v1/audio/transcriptions", files={"file": file},
                data={"model": "whisper-1", "language": "en", "response_format": "verbose_json",
                      "timestamp_granularities[]": "word"}, timeout=60,
            ).json()  # fmt: skip
    wanted = confidences(legato.load(calibrated).transcribe(CLIP, language="en", confidence="calibrated"))
    assert [word["confidence"] for word in answer["words"]] == pytest.approx(wanted, abs=0.01)


def test_the_marks_of_raw_confidences(calibrated: Path) -> None:
    calibration = legato.load(calibrated).bundle.calibration
    assert calibration is not None
    marks = calibration.marks(calibrated=False)
    for mark, probability in ((marks.unsure, 0.5), (marks.doubtful, 0.8)):
        assert calibration(mark) >= probability or mark == 1
        assert not mark or calibration(mark - 1e-4) < probability


def test_a_report_has_both_scales(recordings: Path, calibrated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run_legato(
        "evaluate", recordings, "--limit", "6", "--normalizer", "none", "--model", calibrated, "-o", out, home=tmp_path
    )
    assert result.returncode == 0, result.stderr.decode()
    report: dict[str, Any] = json.loads((out / "report.json").read_text("utf-8"))
    [cell] = [each for each in report["cells"] if each["language"] == "all"]
    raw, found = cell["confidence"]["raw"], cell["confidence"]["calibrated"]
    # Anyone can recompute: the words are in utterances.jsonl, right and wrong ones as the word error rate counts them.
    lines = [json.loads(line) for line in (out / "utterances.jsonl").read_text("utf-8").splitlines()]
    assert raw["words"] == found["words"] == sum(len(line["spoken"]) for line in lines)
    assert raw["right"] == pytest.approx(sum(line["words"]["hits"] for line in lines) / raw["words"])
    every = np.array([confidence for line in lines for _, confidence in line["spoken"]])
    [kept] = [each for each in raw["kept"] if each["threshold"] == 0.9]
    assert kept["kept"] == pytest.approx((every >= 0.9).mean())
    assert found["ece"] < raw["ece"]
    assert math.isclose(sum(each["words"] for each in found["bins"]), found["words"])
    page, card = ((out / name).read_text("utf-8") for name in ("report.html", "report.md"))
    assert "Reliability of the confidences" in page
    assert "## Confidence" in card
    assert "calibrated" in result.stdout.decode()


def test_a_published_bundle_keeps_its_files(make_bundle: MakeBundle, calibrated: Path, tmp_path: Path) -> None:
    """A calibration is one more file; one of another model is refused."""
    bundle = Path(shutil.copytree(make_bundle("transformers-a", layout="published"), tmp_path / "published"))
    before = {file.name: file.read_bytes() for file in bundle.iterdir()}
    from legato.model.calibration import Calibration, write_calibration

    write_calibration(bundle, Calibration("temperature", temperature=2))
    assert {file.name: file.read_bytes() for file in bundle.iterdir() if file.name != CALIBRATION} == before
    calibration = open_bundle(bundle).calibration
    assert calibration is not None
    assert calibration(0.9) == pytest.approx(0.75, abs=1e-4)  # the logit ln 9 becomes ln 3
    shutil.copy(calibrated / CALIBRATION, bundle)
    with pytest.raises(legato.BundleError, match="of another model"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "magic"}, "expected temperature or isotonic"),
        ({"format": 2}, "newer Legato"),
        ({"method": "isotonic", "confidence": [0.5, 0.2], "probability": [0.1, 0.2]}, "ascending"),
        ({"method": "isotonic", "confidence": [0.1, 0.2], "probability": [0.3, 0.2]}, "ascending"),
        ({"method": "isotonic", "confidence": [0.1, 0.2], "probability": [0.3]}, "2 confidences and 1"),
        ({"method": "isotonic", "confidence": [0.1, "x"], "probability": [0.3, 0.4]}, "a number from 0 to 1"),
        ({"method": "isotonic", "confidence": [0.1], "probability": [1.5]}, "a number from 0 to 1"),
        ({"method": "isotonic", "confidence": [], "probability": []}, "a list of 1 to"),
        ({"method": "temperature", "temperature": 0}, "temperature"),
    ],
)
def test_a_damaged_calibration_is_refused(
    calibrated: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    bundle = Path(shutil.copytree(calibrated, tmp_path / "bundle"))
    values = json.loads((bundle / CALIBRATION).read_text("utf-8"))
    (bundle / CALIBRATION).write_text(json.dumps(values | change), "utf-8")
    with pytest.raises(legato.BundleError, match=message):
        open_bundle(bundle)
