"""Codecs, sample rates and channels: what decoding returns."""

import struct
import tracemalloc
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from legato.audio.arrays import check_samples
from legato.audio.source import open_audio, read_audio
from tests.support.sounds import encode, tone


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


def test_quiet_samples_of_24_bits_stay_quiet(tmp_path: Path) -> None:
    quiet = tone(1.0, 16000) * np.float32(1e-5)
    samples = read_audio(encode(tmp_path / "a.wav", quiet, 16000, "pcm_s24le", "s32"))
    np.testing.assert_allclose(samples, quiet[:, 0], atol=1e-6)


def test_float_files_of_another_scale_are_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wav", tone(1.0, 16000) * 32768, 16000, "pcm_f32le", "flt")
    with open_audio(path) as audio:
        np.testing.assert_allclose(np.concatenate(list(audio)), tone(1.0, 16000)[:, 0], atol=1e-6)
    assert audio.warnings == ["float32 samples with values of 16 bits: divided by 32768"]


def test_integers_of_64_bits(tmp_path: Path) -> None:
    sound = tone(1.0, 16000, (440.0, 440.0))
    data = (sound.astype(np.float64) * 2.0**62).astype("<i8").tobytes()
    layout = struct.pack("<HHIIHH", 1, 2, 16000, 16000 * 16, 16, 64)
    head = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", len(data))
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(head) + len(data)) + head + data)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), sound[:, 0] / 2, atol=1e-6)
