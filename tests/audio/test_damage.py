"""Files that are cut off or damaged, and headers without a length."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest

import legato
from legato.audio.source import open_audio
from tests.support.numbers_model import NUMBERS_MODEL
from tests.support.paths import REFERENCES
from tests.support.sounds import encode, tone

FOX = REFERENCES / "audio" / "fox16k.wav"


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFF000])
def test_a_header_of_unknown_length_is_no_damage(tmp_path: Path, size: int) -> None:
    path = encode(tmp_path / "a.wav", tone(2, 16000), 16000, "pcm_s16le")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    with open_audio(path) as audio:
        assert sum(len(block) for block in audio) == 32000
        assert audio.duration is None or audio.duration < 3
        assert audio.warnings == []


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("a.wav", "pcm_s16le", "s16"),
        ("a.flac", "flac", "s16"),
        ("a.aiff", "pcm_s16be", "s16"),
        ("a.mka", "flac", "s16"),
        ("a.mp3", "libmp3lame", "s16p"),
        ("a.opus", "libopus", "flt"),
    ],
)
def test_cut_off_files_are_heard_up_to_the_break(tmp_path: Path, name: str, codec: str, kind: str) -> None:
    rate = 48000 if codec == "libopus" else 16000
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, (rate * 10, 1)).astype(np.float32)
    path = encode(tmp_path / name, noise, rate, codec, kind)
    with open_audio(path) as audio:
        whole = np.concatenate(list(audio))
        assert audio.warnings == []
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 10])
    with open_audio(path) as audio:
        samples = np.concatenate(list(audio))
    assert 2.5 < len(samples) / 16000 < 4.2
    clean = len(samples) - 4608  # a decoder may guess the last, broken frame
    np.testing.assert_array_equal(samples[:clean], whole[:clean])
    assert not audio.complete
    assert len(audio.warnings) == 1
    assert f"{len(samples) / 16000:.2f} s" in audio.warnings[0]


@pytest.mark.parametrize(("name", "codec", "kind"), [("a.mp3", "libmp3lame", "s16p"), ("a.flac", "flac", "s16")])
def test_damage_in_the_middle_is_reported_and_the_rest_heard(tmp_path: Path, name: str, codec: str, kind: str) -> None:
    noise = np.random.default_rng(3).uniform(-0.5, 0.5, (160000, 1)).astype(np.float32)
    path = encode(tmp_path / name, noise, 16000, codec, kind)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    with open_audio(path) as audio:
        samples = np.concatenate(list(audio))
    assert len(samples) > 140000
    assert not audio.complete
    assert len(audio.warnings) == 1
    assert "damaged" in audio.warnings[0]
    second = re.search(r"damaged at (\d\.\d\d) s", audio.warnings[0])
    if codec == "flac":  # its reader leaves damaged frames out; only their timestamps tell
        assert len(samples) == 160000  # silence stands for them
        lost = np.count_nonzero(samples == 0) / 16000
        read = re.search(r"(\d\.\d\d) s of 10.00 s could be read", audio.warnings[0])
        assert read is not None
        assert float(read[1]) == pytest.approx(10 - lost, abs=0.01)
    else:
        assert second is not None
        assert 4.5 < float(second[1]) < 5.5


def test_a_transcript_says_that_audio_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recognizer = legato.load(NUMBERS_MODEL)
    assert not recognizer.transcribe(FOX).partial
    path = tmp_path / "cut.wav"
    path.write_bytes(FOX.read_bytes()[:60000])
    for channels in ("mix", "split"):
        transcript = recognizer.transcribe(path, channels=channels)
        assert transcript.partial
        assert transcript.text
        assert "cut off at 1.87 s" in caplog.text
