"""Files and raw PCM from a pipe."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from numpy.typing import NDArray

from legato.audio.pcm import AudioFormat
from legato.audio.pipe import PcmBlocks, open_pipe
from legato.audio.probe import is_file
from legato.errors import AudioError
from tests.support.sounds import Samples, encode, tone

KINDS = [
    ("a.wav", "pcm_s16le", "s16", 16000),
    ("a.mp3", "libmp3lame", "s16p", 44100),
    ("a.mp2", "mp2", "s16", 48000),
    ("a.m4a", "aac", "fltp", 44100),
    ("a.mov", "pcm_s16le", "s16", 44100),
    ("a.3gp", "aac", "fltp", 44100),
    ("a.caf", "alac", "s16p", 44100),
    ("a.aiff", "pcm_s16be", "s16", 44100),
    ("a.au", "pcm_s16be", "s16", 44100),
    ("a.w64", "pcm_s16le", "s16", 44100),
    ("a.flac", "flac", "s16", 44100),
    ("a.opus", "libopus", "flt", 48000),
    ("a.avi", "libmp3lame", "s16p", 44100),
    ("a.mkv", "aac", "fltp", 44100),
    ("a.webm", "libopus", "flt", 48000),
    ("a.ts", "aac", "fltp", 44100),
    ("b.ts", "ac3", "fltp", 48000),
    ("a.aac", "aac", "fltp", 44100),
    ("a.ac3", "ac3", "fltp", 44100),
    ("a.eac3", "eac3", "fltp", 48000),
    ("a.flv", "aac", "fltp", 44100),
    ("a.mpg", "mp2", "s16", 44100),
    ("a.wv", "wavpack", "s16p", 44100),
    ("a.tta", "tta", "s16", 44100),
    ("a.amr", "libopencore_amrnb", "s16", 8000),
]


@contextmanager
def piped(data: bytes) -> Iterator[BinaryIO]:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as sink:
            sink.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb") as source:
        yield source
        source.read()
    thread.join()


@pytest.mark.parametrize(("name", "codec", "kind", "rate"), KINDS, ids=[kind[0] for kind in KINDS])
def test_every_container_is_told_from_raw_pcm(tmp_path: Path, name: str, codec: str, kind: str, rate: int) -> None:
    data = encode(tmp_path / name, tone(3.0, rate), rate, codec, kind).read_bytes()
    with piped(data) as source, open_pipe(source) as audio:
        blocks = list(audio)
    samples = np.concatenate(blocks)
    assert max(map(len, blocks)) <= 1600
    assert len(samples) / 16000 == pytest.approx(3.0, abs=0.1)
    assert np.sqrt(np.mean(samples[4000:-4000] ** 2)) == pytest.approx(0.354, rel=0.15)
    assert (audio.complete, audio.warnings) == (True, [])


def pcm(values: Samples, kind: str) -> bytes:
    scale = {"<i2": 32767, ">i2": 32767, "<i4": 2**31 - 1, "i1": 127, "<f4": 1, "u1": 127}[kind]
    return (np.round(values * scale) + (128 if kind == "u1" else 0) if kind != "<f4" else values).astype(kind).tobytes()


@pytest.mark.parametrize(
    ("audio_format", "kind"),
    [
        (None, "<i2"),
        (AudioFormat(), "<i2"),
        (AudioFormat("pcm16", 8000), "<i2"),
        (AudioFormat("pcm16be", 48000, 2), ">i2"),
        (AudioFormat("pcm32", 44100), "<i4"),
        (AudioFormat("pcm8"), "i1"),
        (AudioFormat("uint8"), "u1"),
        (AudioFormat("float32", 48000, 2, channel=1), "<f4"),
    ],
    ids=str,
)
def test_raw_pcm_of_every_rate_and_width(audio_format: AudioFormat | None, kind: str) -> None:
    form = audio_format or AudioFormat()
    sound = tone(2.0, form.rate, (440.0,) * form.channels)
    with piped(pcm(sound, kind)) as source, open_pipe(source, audio_format=audio_format) as audio:
        samples = np.concatenate(list(audio))
    assert isinstance(audio, PcmBlocks)
    np.testing.assert_allclose(samples[800:-800], tone(2.0, 16000)[800:-800, 0], atol=0.02)


@pytest.mark.parametrize("seed", range(8))
def test_noise_and_silence_are_no_file(seed: int) -> None:
    noise = np.random.default_rng(seed).integers(-3000, 3000, 4096).astype("<i2").tobytes()
    for head in (noise, bytes(64), b"\xff\xfb" + noise, b"\x47" + noise, b"\x0b\x77" + noise, b"\xff\xf1" + noise):
        assert is_file(head, ended=True) is False
        assert is_file(head) is False


def test_raw_pcm_is_not_held_back() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        sink.write(b"\x01\x40" * 10)
        with open_pipe(source) as audio:
            assert len(next(iter(audio))) == 10  # the pipe is still open


@pytest.mark.parametrize("cut", [1, 3, 7, 11])
def test_a_head_that_arrives_in_pieces(tmp_path: Path, cut: int) -> None:
    data = encode(tmp_path / "a.flac", tone(1.0, 16000), 16000, "flac").read_bytes()

    class Slow(io.RawIOBase):
        def __init__(self) -> None:
            self.rest = io.BytesIO(data)

        def read(self, size: int = -1, /) -> bytes:
            return self.rest.read(min(size, cut) if self.rest.tell() < 100 else size)

    with open_pipe(Slow()) as audio:  # type: ignore[arg-type]
        assert sum(map(len, audio)) == 16000


def test_a_redirected_file_is_read_as_a_file(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", tone(2.0, 44100), 44100, "aac", "fltp")
    with path.open("rb") as source, open_pipe(source) as audio:
        assert audio.duration == pytest.approx(2.0, abs=0.1)
        assert sum(map(len, audio)) / 16000 == pytest.approx(2.0, abs=0.1)


def test_what_is_wrong_with_a_pipe() -> None:
    with piped(b"") as source, open_pipe(source) as audio, pytest.raises(AudioError, match="is empty"):
        list(audio)
    with piped(b"RIFF\0\0\0\0WAVEnothing") as source, pytest.raises(AudioError, match="not an audio file"):
        open_pipe(source)


def test_a_wav_file_that_states_too_little_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.wav", tone(10.0, 16000), 16000, "pcm_s16le")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = (64000).to_bytes(4, "little")
    with piped(bytes(data)) as source, open_pipe(source) as audio:
        assert sum(map(len, audio)) == 32000
    assert not audio.complete
    assert "8.00 s at its end were not read" in audio.warnings[0]


def test_a_wav_file_that_states_too_much_or_is_followed_by_another_is_told(tmp_path: Path) -> None:
    data = encode(tmp_path / "a.wav", tone(10.0, 16000), 16000, "pcm_s16le").read_bytes()
    header = len(data) - 320_000
    for given, count, warning in (
        (data[: header + 96_000], 48_000, "cut off at 3.00 s; its header says 10.00 s"),
        (data + data, 160_000, "at its end were not read"),
    ):
        with piped(given) as source, open_pipe(source) as audio:
            assert sum(map(len, audio)) == count
        assert not audio.complete
        assert warning in audio.warnings[0]


def test_a_picture_at_the_end_of_a_wav_file_is_no_audio(tmp_path: Path) -> None:
    data = encode(tmp_path / "a.wav", tone(1.0, 16000), 16000, "pcm_s16le").read_bytes()
    data += b"id3 " + (100_000).to_bytes(4, "little") + bytes(100_000)
    with piped(data) as source, open_pipe(source) as audio:
        assert sum(map(len, audio)) == 16000
    assert (audio.complete, audio.warnings) == (True, [])


def test_g711_agrees_with_ffmpeg(tmp_path: Path) -> None:
    sound: NDArray[np.float32] = tone(1.0, 8000)
    for law, suffix, codec in (("mulaw", "ul", "pcm_mulaw"), ("alaw", "al", "pcm_alaw")):
        data = encode(tmp_path / f"a.{suffix}", sound, 8000, codec).read_bytes()
        with piped(data) as source, open_pipe(source, audio_format=AudioFormat(law, 8000)) as audio:  # type: ignore[arg-type]
            samples = np.concatenate(list(audio))
        np.testing.assert_allclose(samples[800:-800], tone(1.0, 16000)[800:-800, 0], atol=0.03)
