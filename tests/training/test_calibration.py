"""The recordings for the calibration of the embedded model; skipped without the requirements of the training."""

import json
from pathlib import Path

import pytest

pytest.importorskip("soundfile", reason="training/small/requirements.txt is not installed")

from training.small import calibration
from training.small.languages import TAGS


def test_a_calibration_is_judged_on_other_sentences(tmp_path: Path) -> None:
    """Texts that differ in marks only are the same sentence, and the watched sentences are in no test part."""
    for kind, languages in {"held-out": TAGS, "real-test": ("en", "de")}.items():
        (tmp_path / kind).mkdir()
        for language in languages:
            texts = {"en": "the farm was left", "de": "die straße ist schön"}.get(
                language, "no" if language != "ja" else "の"
            )
            entries = [{"audio_filepath": f"{n}.flac", "text": texts, "lang": TAGS[language]} for n in range(18)]
            (tmp_path / kind / f"{language}.jsonl").write_text("\n".join(map(json.dumps, entries)) + "\n")
    (tmp_path / "samples.json").write_text(json.dumps({"de.flac": "Die Straße ist schön."}))
    (tmp_path / "judged.jsonl").write_text(
        '{"audio_filepath": "a.flac", "text": "The farm was left!", "lang": "en-US"}\n'
    )
    without = calibration.judged_on([tmp_path / "judged.jsonl"], tmp_path / "samples.json")
    found = [entry["audio_filepath"] for entry in calibration.chosen(tmp_path, without)]
    assert found == ["held-out/16.flac", "held-out/17.flac"] * 5  # not English, not German
