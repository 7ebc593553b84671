import io
import os
import re
import struct
import threading
import tracemalloc
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from legato.audio.source import check_samples, open_audio, pcm_blocks, read_audio
from legato.errors import AudioError
from tests.support.sounds import encode, tone, video_without_sound


def amplitude(samples: NDArray[np.float32], frequency: float) -> float:
    """Amplitude of one sine in the middle of 16 kHz samples."""
    middle = samples[1600:-1600].astype(np.float64)
    time = np.arange(len(middle)) / 16000
    window = np.hanning(len(middle))
    return float(2 * abs(np.sum(window * middle * np.exp(-2j * np.pi * frequency * time))) / window.sum())


CODECS = [
    ("8k.wav", 8000, 1, "pcm_s16le", "s16", 0.002),
    ("16k.wav", 16000, 1, "pcm_s16le", "s16", 0.0),
    ("44k-stereo.wav", 44100, 2, "pcm_s16le", "s16", 0.002),
    ("48k-stereo.wav", 48000, 2, "pcm_s16le", "s16", 0.002),
    ("surround.wav", 48000, 6, "pcm_s16le", "s16", 0.002),
    ("float.wav", 48000, 2, "pcm_f32le", "flt", 0.002),
    ("a.flac", 44100, 2, "flac", "s16", 0.002),
    ("a.mp3", 44100, 2, "libmp3lame", "s16p", 0.06),
    ("a.opus", 48000, 2, "libopus", "flt", 0.03),
    ("a.ogg", 48000, 1, "libopus", "flt", 0.03),
    ("a.m4a", 44100, 2, "aac", "fltp", 0.06),
    ("a.aac", 44100, 1, "aac", "fltp", 0.1),
    ("a.mka", 44100, 2, "libmp3lame", "s16p", 0.06),
    ("a.webm", 48000, 2, "libopus", "flt", 0.03),
]


@pytest.mark.parametrize(("name", "rate", "channels", "codec", "kind", "late"), CODECS, ids=[c[0] for c in CODECS])
def test_every_codec_is_heard(
    *, tmp_path: Path, name: str, rate: int, channels: int, codec: str, kind: str, late: float
) -> None:
    frequencies = (440.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0)[:channels]
    path = encode(tmp_path / name, tone(2.0, rate, frequencies), rate, codec, kind)
    samples = read_audio(path)
    assert samples.dtype == np.float32
    assert len(samples) / 16000 == pytest.approx(2.0, abs=late + 1e-9)
    heard = frequencies if channels < 6 else frequencies[:3]  # FFmpeg's order of six channels is its own business
    for frequency in heard:
        assert amplitude(samples, frequency) == pytest.approx(0.5 / channels, rel=0.1)
    assert amplitude(samples, 700.0) < 0.01


def test_16_khz_mono_is_bit_exact(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-32768, 32767, 400_000, endpoint=True).astype(np.int16)
    for name, codec in (("a.wav", "pcm_s16le"), ("a.flac", "flac")):
        path = encode(tmp_path / name, (values[:, None] / 32767).astype(np.float32), 16000, codec)
        with open_audio(path) as audio:
            assert audio.duration == 25.0
            blocks = list(audio)
        assert [len(block) for block in blocks] == [160000, 160000, 80000]
        np.testing.assert_array_equal(np.concatenate(blocks), values.astype(np.float32) / 32768)
        assert audio.warnings == []


def test_resampling_in_pieces_equals_one_pass(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (44100 * 12, 1)).astype(np.float32)
    path = encode(tmp_path / "a.wav", noise, 44100, "pcm_f32le", "flt")
    np.testing.assert_allclose(read_audio(path), check_samples(noise, 44100), atol=1e-6)


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        for _ in range(30):
            file.writeframes(bytes(16000 * 2 * 60))
    tracemalloc.start()
    with open_audio(path) as audio:
        assert sum(len(block) for block in audio) == 30 * 60 * 16000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


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
    assert len(audio.warnings) == 1
    assert "damaged" in audio.warnings[0]
    second = re.search(r"damaged at (\d\.\d\d) s", audio.warnings[0])
    if codec == "flac":  # its reader leaves damaged frames out; only their number tells
        assert f"{len(samples) / 16000:.2f} s of 10.00 s" in audio.warnings[0]
    else:
        assert second is not None
        assert 4.5 < float(second[1]) < 5.5


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


def test_arrays_of_every_kind() -> None:
    full = np.array([-32768, -1, 0, 1, 32767], np.int16)
    expected = full.astype(np.float32) / 32768
    np.testing.assert_array_equal(check_samples(full), expected)
    np.testing.assert_array_equal(check_samples(expected.astype(np.float64)), expected)
    np.testing.assert_array_equal(check_samples(full.astype(np.int32) * 65536), expected)
    np.testing.assert_array_equal(check_samples((full.astype(np.int32) + 32768).astype(np.uint16)), expected)
    np.testing.assert_array_equal(check_samples(np.stack([full, full], axis=1)), expected)
    np.testing.assert_array_equal(check_samples(full[:, None]), expected)
    same = np.ones(10, np.float32)
    assert check_samples(same) is same
    assert len(check_samples(np.ones(48000, np.float32), 48000)) == 16000
    assert check_samples(np.zeros(0), allow_empty=True).shape == (0,)


@pytest.mark.parametrize(
    ("array", "rate", "words"),
    [
        (np.zeros((2, 3, 4)), 16000, "shape"),
        (np.float32(1.0), 16000, "shape"),
        (np.zeros((2, 16000)), 16000, "transpose"),
        (np.zeros(0), 16000, "0 samples"),
        (np.zeros((0, 2)), 16000, "0 samples"),
        (np.zeros(10, np.complex64), 16000, "complex64"),
        (np.zeros(10, bool), 16000, "bool"),
        (np.array(["a"]), 16000, "<U1"),
        (np.array([1e300]), 16000, "infinite"),
        (np.zeros(10), 10, "10 Hz"),
    ],
)
def test_arrays_that_are_refused(array: NDArray[Any], rate: int, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        check_samples(array, rate)


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=20))
def test_pcm_in_pieces_of_any_size(data: bytes, cuts: list[int]) -> None:
    class Pieces(io.RawIOBase):
        def __init__(self) -> None:
            self.rest, self.cuts = data, list(cuts)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            size = min(self.cuts.pop(0) if self.cuts else 7, len(buffer), len(self.rest))
            buffer[:size] = self.rest[:size]
            self.rest = self.rest[size:]
            return size

    whole = np.frombuffer(data[: len(data) & ~1], "<i2").astype(np.float32) / 32768
    blocks = list(pcm_blocks(io.BufferedReader(Pieces()), block_ms=5))
    assert all(0 < len(block) <= 80 for block in blocks)
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, np.float32), *blocks]), whole)


def test_live_pcm_is_not_held_back() -> None:
    reading, writing = os.pipe()
    came = threading.Event()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        blocks = []

        def read() -> None:
            for block in pcm_blocks(source):
                blocks.append(block)
                came.set()

        thread = threading.Thread(target=read)
        thread.start()
        sink.write(b"\x00\x40" * 10)
        assert came.wait(30)  # the pipe is still open, and ten samples are there
        assert len(blocks[0]) == 10
        sink.close()
        thread.join(30)
    assert sum(map(len, blocks)) == 10
