"""Files that hold several recordings, or more audio than their header states."""

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from legato.audio.pipe import open_pipe
from legato.audio.sections import SectionFile
from legato.audio.source import open_audio, read_audio
from legato.recognizer import Recognizer
from tests.support.paths import DATA
from tests.support.sounds import beeps, encode, loud_spans, tone

FILES = DATA / "files"


def wav(seconds: float = 2.0, rate: int = 16000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, rate, 0, "NONE", ""))
        writer.writeframes((tone(seconds, rate)[:, 0] * 32767).astype("<i2").tobytes())
    return file.getvalue()


def with_size(data: bytes, size: int) -> bytes:
    """Let the header of a WAV file state this many bytes of audio."""
    at = data.index(b"data") + 4
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False


def write_rifx(path: Path, data: bytes, tag: int, width: int) -> None:
    head = b"WAVEfmt " + struct.pack(">IHHIIHH", 16, tag, 1, 16000, 16000 * width, width, 8 * width)
    body = head + b"data" + struct.pack(">I", len(data)) + data
    path.write_bytes(b"RIFX" + struct.pack(">I", len(body)) + body)


def read(path: Path, data: bytes) -> tuple[int, bool, list[str]]:
    path.write_bytes(data)
    with open_audio(path) as audio:
        return sum(len(block) for block in audio), audio.complete, audio.warnings


@pytest.mark.parametrize("stated", [1000, 16000, 60000])
def test_a_wav_header_that_states_too_little(tmp_path: Path, stated: int) -> None:
    length, complete, warnings = read(tmp_path / "a.wav", with_size(wav(), stated))
    assert (length, complete) == (32000, True)
    assert warnings == ["its header states less audio than the file holds; all 2.00 s of it were read"]


def test_a_wav_header_that_states_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "a.wav", with_size(wav(), 0)) == (32000, True, [])


@pytest.mark.parametrize("chunk", [b"LIST", b"id3 ", b"bext", b"_PMX"])
def test_what_follows_the_audio_is_not_audio(tmp_path: Path, chunk: bytes) -> None:
    rest = chunk + struct.pack("<I", 5000) + bytes(range(250)) * 20
    assert read(tmp_path / "a.wav", wav() + rest) == (32000, True, [])
    assert read(tmp_path / "a.wav", wav() + rest + b"afsp" + struct.pack("<I", 3) + b"abc\0") == (32000, True, [])


def test_joined_wav_files_of_different_rates(tmp_path: Path) -> None:
    length, complete, warnings = read(tmp_path / "a.wav", wav(2.0) + wav(1.0, 48000) + wav(1.0))
    assert length == pytest.approx(64000, abs=20)
    assert (complete, warnings) == (True, [])


def test_a_joined_file_that_is_cut_off_is_told(tmp_path: Path) -> None:
    length, complete, warnings = read(tmp_path / "a.wav", wav(2.0) + wav(2.0)[:32044])
    assert (length, complete) == (48000, False)
    assert "cut off" in warnings[0]


def test_rifx_and_tags_before_riff(tmp_path: Path) -> None:
    data = wav()
    big = (
        b"RIFX"
        + struct.pack(">I", len(data) - 8)
        + b"WAVEfmt "
        + struct.pack(">IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    )
    big += b"data" + struct.pack(">I", 64000) + np.frombuffer(data[44:], "<i2").astype(">i2").tobytes()
    assert read(tmp_path / "a.wav", big) == (32000, True, [])
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), np.frombuffer(data[44:], "<i2") / np.float32(32768))
    id3 = b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)
    assert read(tmp_path / "a.wav", id3 + data) == (32000, True, [])


@pytest.mark.parametrize(("tag", "kind", "scale"), [(1, ">i2", 2**15), (1, ">i4", 2**31), (3, ">f4", 1), (3, ">f8", 1)])
def test_the_samples_of_rifx_are_big_endian(tmp_path: Path, tag: int, kind: str, scale: int) -> None:
    samples = (tone(1.0, 16000)[:, 0] * scale * 0.9).astype(kind)
    write_rifx(tmp_path / "a.wav", samples.tobytes(), tag, samples.itemsize)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), samples.astype("f8") / scale, atol=1e-6)


def test_the_samples_of_rifx_with_24_bits(tmp_path: Path) -> None:
    samples = (tone(1.0, 16000)[:, 0] * 2**23 * 0.9).astype(">i4")
    write_rifx(tmp_path / "a.wav", samples.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes(), 1, 3)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), samples.astype("f8") / 2**23, atol=1e-6)
    with open_pipe(Unseekable((tmp_path / "a.wav").read_bytes())) as audio:
        np.testing.assert_allclose(np.concatenate(list(audio)), samples.astype("f8") / 2**23, atol=1e-6)


def test_a_tag_before_riff_in_a_pipe() -> None:
    with open_pipe(Unseekable(b"ID3\x04\0\0\0\0\x01\x00" + bytes(128) + wav())) as audio:
        assert sum(map(len, audio)) == 32000


def test_the_tags_of_joined_files_are_no_damage(tmp_path: Path) -> None:
    one = encode(tmp_path / "a.mp3", beeps([(0.5, 1.0)], 2, 48000), 48000, "libmp3lame", "fltp").read_bytes()
    assert one[:3] == b"ID3"
    (tmp_path / "b.mp3").write_bytes(one + one)
    with open_audio(tmp_path / "b.mp3") as audio:
        spans = loud_spans(np.concatenate(list(audio)))
    np.testing.assert_allclose(spans, [(0.5, 1.0), (2.5, 3.0)], atol=0.1)
    assert (audio.complete, audio.warnings) == (True, [])


def test_rf64_states_its_size_elsewhere(tmp_path: Path) -> None:
    data = wav()
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, len(data), 64000, 32000, 0)
    long = b"RF64\xff\xff\xff\xffWAVE" + ds64 + with_size(data, 0xFFFFFFFF)[12:]
    assert read(tmp_path / "a.wav", long) == (32000, True, [])
    length, complete, warnings = read(tmp_path / "a.wav", long[:-32000])
    assert (length, complete) == (16000, False)
    assert "cut off at 1.00 s; its header says 2.00 s" in warnings[0]


def test_links_of_an_ogg_file_with_other_rates(tmp_path: Path, numbers: Recognizer) -> None:
    with open_audio(FILES / "chained-rate-change.ogg") as audio:
        samples = np.concatenate(list(audio))
    assert len(samples) / 16000 == pytest.approx(2.751 + 1.746, abs=0.002)
    assert (audio.complete, audio.warnings) == (True, [])
    words = [word.text for word in numbers.transcribe(samples).words]
    assert (words[:3], words[-2:]) == (["fifty", "twenty", "five"], ["twelve", "eight"])


def test_links_of_other_codecs(tmp_path: Path) -> None:
    one = encode(tmp_path / "a.opus", beeps([(0.5, 1.0)], 2, 48000), 48000, "libopus", "flt")
    two = encode(tmp_path / "b.ogg", beeps([(0.5, 1.0)], 2, 44100), 44100, "flac")
    (tmp_path / "c.ogg").write_bytes(one.read_bytes() + two.read_bytes() + one.read_bytes())
    with open_audio(tmp_path / "c.ogg") as audio:
        spans = loud_spans(np.concatenate(list(audio)))
    np.testing.assert_allclose(spans, [(0.5, 1.0), (2.5, 3.0), (4.5, 5.0)], atol=0.05)
    assert (audio.complete, audio.warnings) == (True, [])


@pytest.mark.parametrize(
    ("name", "codec", "kind", "rate"),
    [
        ("a.mp4", "aac", "fltp", 44100),
        ("a.aiff", "pcm_s16be", "s16", 44100),
        ("a.flac", "flac", "s16", 44100),
        ("a.mkv", "aac", "fltp", 44100),
        ("a.webm", "libopus", "flt", 48000),
        ("a.aac", "aac", "fltp", 44100),
        ("a.ts", "aac", "fltp", 44100),
        ("a.avi", "libmp3lame", "s16p", 44100),
        ("a.au", "pcm_s16be", "s16", 44100),
        ("a.mpg", "mp2", "s16", 44100),
    ],
)
def test_files_of_every_kind_joined(tmp_path: Path, name: str, codec: str, kind: str, rate: int) -> None:
    path = encode(tmp_path / name, beeps([(0.5, 1.0)], 2.0, rate), rate, codec, kind)
    path.write_bytes(path.read_bytes() * 2)
    with open_audio(path) as audio:
        samples = np.concatenate(list(audio))
    spans = [span for span in loud_spans(samples) if span[1] - span[0] > 0.1]  # without a click at the joint
    np.testing.assert_allclose(spans, [(0.5, 1.0), (2.5, 3.0)], atol=0.1)
    assert (audio.complete, audio.warnings) == (True, [])


def test_audio_after_the_end_of_an_aiff_file_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.aiff", tone(2.0, 16000), 16000, "pcm_s16be")
    length, complete, warnings = read(path, path.read_bytes() + bytes(96000))
    assert (length, complete) == (32000, False)
    assert "3.00 s at its end were not read" in warnings[0]


def test_a_part_of_a_file_is_a_file() -> None:
    part = SectionFile(io.BytesIO(b"0123456789"), 2, 7)
    assert (part.read(2), part.tell(), part.read()) == (b"23", 2, b"456")
    assert (part.read(5), part.seek(-2, 2), part.read(9)) == (b"", 3, b"56")
    assert (part.seek(1), part.seek(1, 1), part.read(1)) == (1, 2, b"4")
