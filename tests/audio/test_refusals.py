"""Files that cannot be read: messages with cause and remedy."""

import errno
import io
import os
import wave
from pathlib import Path

import av.error
import numpy as np
import pytest

from legato.audio.arrays import check_samples
from legato.audio.source import open_audio_file, read_audio
from legato.audio.track_decoder import reason_of
from legato.errors import AudioError
from tests.support.sounds import Sound, encode, encode_tracks, tone, video_without_sound


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
    assert "index of this MP4 is missing" in refusal(half)
    for name, seconds in (("samples.raw", 1), ("samples.pcm", 1), ("few.raw", 0.01)):
        (tmp_path / name).write_bytes((32767 * tone(seconds, 16000)).astype("<i2").tobytes())
        assert "--raw-rate 16000 - < FILE" in refusal(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wav", tone(1, 16000), 16000, "pcm_s16le")
    path.chmod(0)
    assert "permission" in refusal(path)


class _Failing(io.BytesIO):
    """A file on a disk that fails after so many reads."""

    def __init__(self, data: bytes, reads: int) -> None:
        super().__init__(data)
        self.reads = reads

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads -= 1
        if self.reads < 0:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


def test_a_disk_that_fails_is_not_taken_for_a_wrong_format(tmp_path: Path) -> None:
    data = encode(tmp_path / "tone.flac", tone(1.0, 16000), 16000, "flac").read_bytes()
    for reads in range(2):
        with pytest.raises(AudioError, match=r"recording: cannot be read \(input/output error\)\. Check the disk"):
            open_audio_file(_Failing(data, reads), "recording")
    with pytest.raises(AudioError, match="0 bytes"):
        open_audio_file(io.BytesIO(), "recording")


def test_a_name_that_looks_like_a_protocol_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "a.wav", tone(1, 16000), 16000, "pcm_s16le").rename(tmp_path / "concat:x.wav")
    assert len(read_audio("concat:x.wav")) == 16000


def test_a_playlist_opens_nothing_else(tmp_path: Path) -> None:
    secret = encode(tmp_path / "secret.ts", tone(1, 48000), 48000, "aac", "fltp")
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")
    refusal(playlist)


def test_encrypted_mp4_is_protected(tmp_path: Path) -> None:
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "0" * 32, "encryption_kid": "1" * 32}
    sound = Sound(tone(3, 44100), 44100, "aac", "fltp")
    assert "protected" in refusal(encode_tracks(tmp_path / "a.mp4", [sound], options=options))


@pytest.mark.parametrize("mark", [b"drms", b"aavd"])
def test_music_and_books_of_shops_are_protected(tmp_path: Path, mark: bytes) -> None:
    path = encode(tmp_path / "a.m4a", tone(3, 44100), 44100, "aac", "fltp")
    path.write_bytes(path.read_bytes().replace(b"mp4a", mark))
    message = refusal(path)
    assert "protected" in message or "no decoder" in message


def test_words_of_ffmpeg_do_not_reach_people() -> None:
    errors: list[Exception] = [
        av.error.PatchWelcomeError(1, "Not yet implemented in FFmpeg, patches welcome"),
        av.error.BugError(1, "Internal bug, should not have happened"),
        av.error.InvalidDataError(1, "Invalid data found when processing input"),
        av.error.UnknownError(1, "Unknown error occurred"),
        av.error.EOFError(1, "End of file"),
        OSError(5, "Input/output error"),
    ]
    reasons = [reason_of(error) for error in errors]
    assert not any(word in reason for word in ("patches", "bug", "unknown", "processing") for reason in reasons)
    assert reasons[-1] == "input/output error"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, bad: float) -> None:
    samples = tone(12, 16000)
    samples[170000] = bad
    path = encode(tmp_path / "a.wav", samples, 16000, "pcm_f32le", "flt")
    assert "sample 170000 (10.625 s)" in refusal(path)
    with pytest.raises(AudioError, match=r"sample 170000 \(10\.625 s\)"):
        check_samples(samples)
