"""Calibration: ranges of every layer, manifests, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest

import legato
from legato.convert import convert
from legato.convert.open import open_checkpoint
from legato.convert.quantize.calibration import input_ranges
from legato.convert.quantize.clips import sample_clips
from tests.conftest import checkpoint_path
from tests.support.command import failed
from tests.support.command import legato as command
from tests.support.paths import REFERENCES

LINEAR2 = "encoder.layers.0.feed_forward1.linear2.weight"


def test_calibration_sees_every_encoder_layer(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(checkpoint_path("nemo-r3"))
    ranges = input_ranges(checkpoint, sample_clips(), tmp_path / "calibration")
    a = checkpoint.architecture
    assert len(ranges) == 1 + a.layers * 8 + 2
    assert ranges[LINEAR2].shape == (a.feed_forward,)
    assert all(np.isfinite(values).all() and values.max() > 0 for values in ranges.values())


def manifest(folder: Path, *entries: object) -> Path:
    file = folder / "manifest.jsonl"
    file.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries) + "\n")
    return file


def test_a_calibration_manifest(tmp_path: Path) -> None:
    """Paths are relative or absolute; a recording that cannot be read is skipped."""
    (tmp_path / "fox.wav").write_bytes((REFERENCES / "audio" / "fox16k.wav").read_bytes())
    clip = REFERENCES / "audio" / "de-kerstin-2316.flac"
    file = manifest(
        tmp_path,
        {"audio_filepath": "fox.wav"},
        {"audio_filepath": str(clip), "lang": "de-DE"},
        {"audio_filepath": "missing.wav"},
    )
    report = convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe="per-token-smooth", calibration=file)
    assert 0 < report.differences["encoder"] < 0.06


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["{"], "line 1: not JSON"),
        ([{"audio_filepath": "a.wav"}, "[]"], "line 2: not a JSON object"),
        ([{"lang": "de-DE"}], "line 1: has no audio_filepath"),
        ([""], "is empty"),
        ([{"audio_filepath": "missing.wav"}], "no usable audio"),
        ([{"audio_filepath": "manifest.jsonl"}], "no usable audio"),
        ([{"audio_filepath": "a.wav", "lang": "xx-XX"}], "no language 'xx-XX'"),
    ],
)
def test_bad_manifests(tmp_path: Path, entries: list[object], words: str) -> None:
    file = manifest(tmp_path, *entries)
    with pytest.raises(legato.ConversionError, match=words):
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe="per-token-smooth", calibration=file)
    assert list(tmp_path.iterdir()) == [file]


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(legato.ConversionError, match="no such manifest"):
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe="mixed", calibration=tmp_path / "none.jsonl")


def test_the_command(tmp_path: Path) -> None:
    checkpoint = checkpoint_path("nemo-r3")
    out = tmp_path / "out"
    message = failed(command("convert", checkpoint, out, "--recipe", "magic", home=tmp_path))
    assert "no recipe 'magic'" in message
    assert not out.exists()
    file = manifest(tmp_path, {"audio_filepath": str(REFERENCES / "audio" / "fox16k.wav")})
    result = command("convert", checkpoint, out, "--recipe", "mixed", "--calibration", file, home=tmp_path)
    assert result.returncode == 0, result.stderr.decode()
    assert json.loads((out / "config.json").read_text())["legato"]["recipe"] == "mixed"
