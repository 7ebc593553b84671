"""Files that cannot be read: messages with cause and remedy."""

import os
import wave
from pathlib import Path

import numpy as np
import pytest

from legato.audio.arrays import check_samples
from legato.audio.source import read_audio
from legato.errors import AudioError
from tests.support.sounds import encode, tone, video_without_sound


def refusal(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    assert str(path) in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_refusals_name_file_cause_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("These are words.\n" * 50)
    (tmp_path / "text.wav").write_text("These are words.\n" * 50)
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(20000))
    (tmp_path / "nothing.wav").write_bytes(b"")
    assert "no such file" in refusal(tmp_path / "missing.wav")
    assert "folder" in refusal(tmp_path)
    assert "text file" in refusal(tmp_path / "text.txt")
    assert "not an audio file" in refusal(tmp_path / "text.wav") or "text file" in refusal(tmp_path / "text.wav")
    assert "audio" in refusal(tmp_path / "noise.mp3")
    assert "0 bytes" in refusal(tmp_path / "nothing.wav")
    assert "no audio track" in refusal(video_without_sound(tmp_path / "film.mp4"))
    with wave.open(str(tmp_path / "silent.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    assert "0 samples" in refusal(tmp_path / "silent.wav")
    half = encode(tmp_path / "half.m4a", tone(3, 16000), 16000, "aac", "fltp")
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    assert "cut off" in refusal(half)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wav", tone(1, 16000), 16000, "pcm_s16le")
    path.chmod(0)
    assert "permission" in refusal(path)


def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "a.wav", tone(1, 16000), 16000, "pcm_s16le").rename(tmp_path / "concat:x.wav")
    assert len(read_audio("concat:x.wav")) == 16000


def test_a_playlist_opens_nothing_else(tmp_path: Path) -> None:
    secret = encode(tmp_path / "secret.ts", tone(1, 48000), 48000, "aac", "fltp")
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")
    refusal(playlist)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, bad: float) -> None:
    samples = tone(12, 16000)
    samples[170000] = bad
    path = encode(tmp_path / "a.wav", samples, 16000, "pcm_f32le", "flt")
    assert "sample 170000 (10.625 s)" in refusal(path)
    with pytest.raises(AudioError, match=r"sample 170000 \(10\.625 s\)"):
        check_samples(samples)
