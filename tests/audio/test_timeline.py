"""The time of audio is that of its timestamps: late starts, gaps, lost packets, and packets without samples."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from legato.audio.pipe import open_pipe
from legato.audio.source import open_audio
from legato.audio.timeline import Timeline
from legato.recognizer import Recognizer
from tests.support.paths import DATA
from tests.support.sounds import Samples, Sound, beeps, encode, encode_tracks, loud_spans

FILES = DATA / "files"
RATES = {"aac": (44100, "fltp"), "libopus": (48000, "flt"), "ac3": (48000, "fltp"), "mp2": (44100, "s16")}
RATES |= {"flac": (44100, "s16"), "pcm_s16le": (44100, "s16"), "libmp3lame": (44100, "s16p")}


class Unseekable(io.RawIOBase):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)


def read(path: Path) -> tuple[Samples, list[str], float | None]:
    with open_audio(path) as audio:
        samples = np.concatenate(list(audio))
        assert audio.complete
        return samples, audio.warnings, audio.duration


def sound(codec: str, move: Callable[[float], float | None], spans: list[tuple[float, float]], seconds: float) -> Sound:
    rate, kind = RATES[codec]
    return Sound(beeps(spans, seconds, rate), rate, codec, kind, move)


def close(found: list[tuple[float, float]], expected: list[tuple[float, float]], tolerance: float = 0.09) -> None:
    """Compare spans; the delay of an encoder and the blur of its frames are below the tolerance."""
    assert len(found) == len(expected), found
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=tolerance)


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [
        ("a.mkv", "aac", 20),
        ("b.mkv", "flac", 20),
        ("a.mp4", "aac", 20),
        ("a.mov", "pcm_s16le", 20),
        ("a.ts", "aac", 20),
        ("b.ts", "mp2", 20),
        ("late.m4a", "aac", 0),
        ("late.mka", "libopus", 0),
        ("late.webm", "libopus", 0),
    ],
)
def test_audio_that_starts_late(tmp_path: Path, name: str, codec: str, video: float) -> None:
    late = sound(codec, lambda seconds: 5.0, [(1.0, 2.0)], 3.0)
    path = encode_tracks(tmp_path / name, [late], video_seconds=video)
    samples, warnings, _ = read(path)
    close(loud_spans(samples), [(6.0, 7.0)])
    assert len(samples) / 16000 == pytest.approx(8.0, abs=0.1)
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "aac"), ("a.webm", "libopus"), ("a.mp4", "aac"), ("a.ts", "aac"), ("a.mka", "flac"), ("a.flv", "aac")],
)
def test_a_gap_is_silence(tmp_path: Path, name: str, codec: str) -> None:
    gap = sound(codec, lambda seconds: 0.0 if seconds < 2.0 else 20.0, [(1.0, 1.8), (3.0, 4.0)], 5.0)
    samples, warnings, _ = read(encode_tracks(tmp_path / name, [gap]))
    close(loud_spans(samples), [(1.0, 1.8), (23.0, 24.0)])
    assert not samples[16000 * 4 : 16000 * 20].any()
    assert len(samples) / 16000 == pytest.approx(25.0, abs=0.1)
    assert warnings == []


def test_lost_packets_do_not_shift_what_follows(tmp_path: Path) -> None:
    lost = np.random.default_rng(0).random(2000) < 0.1
    spans = [(second + 0.2, second + 0.8) for second in range(0, 30, 2)]
    some = sound("libopus", lambda seconds: None if lost[round(seconds * 50)] else 0.0, spans, 30.0)
    samples, warnings, _ = read(encode_tracks(tmp_path / "a.webm", [some]))
    assert len(samples) / 16000 == pytest.approx(30.0, abs=0.1)
    loud = np.abs(samples) > 0.1
    for second in range(30):  # each beep is where it was
        assert (loud[second * 16000 : (second + 1) * 16000].mean() > 0.3) == (second % 2 == 0)
    assert warnings == []


def test_rounded_and_jittering_timestamps_are_no_gaps(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    jitter = noise.uniform(0, 0.015, 1000)
    rate, kind = RATES["libopus"]
    samples = noise.uniform(-0.5, 0.5, (rate * 10, 1)).astype(np.float32)
    plain = encode(tmp_path / "plain.webm", samples, rate, "libopus", kind)
    moved = Sound(samples, rate, "libopus", kind, lambda seconds: float(jitter[round(seconds * 50)]))
    shaken = encode_tracks(tmp_path / "shaken.webm", [moved])
    np.testing.assert_array_equal(read(shaken)[0], read(plain)[0])


def test_the_silence_of_a_phone(numbers: Recognizer) -> None:
    samples, warnings, _ = read(FILES / "dtx.amr")  # its silence has no frames that FFmpeg decodes
    assert len(samples) / 16000 == pytest.approx(12.64, abs=0.02)
    words = numbers.transcribe(samples).words
    assert (words[0].text, words[-1].text) == ("fifty", "zero")
    assert words[0].start == pytest.approx(1.36, abs=0.09)
    assert words[-1].start == pytest.approx(11.36, abs=0.09)
    assert warnings == []


def test_a_long_gap_needs_little_memory_and_a_longer_one_is_told(tmp_path: Path) -> None:
    for gap, seconds in ((1800.0, 1804.0), (5000.0, 4.0)):
        late = sound("libopus", lambda at, gap=gap: 0.0 if at < 2.0 else gap, [(1.0, 2.0), (3.0, 4.0)], 4.0)  # type: ignore[misc]
        with open_audio(encode_tracks(tmp_path / "a.webm", [late])) as audio:
            lengths = [len(block) for block in audio]
        assert max(lengths) <= 160000
        assert sum(lengths) / 16000 == pytest.approx(seconds, abs=0.1)
        assert audio.complete
        assert [("jump by 5000 s at 2" in warning) for warning in audio.warnings] == [True] * (gap == 5000)


def test_timestamps_that_start_again_continue(tmp_path: Path) -> None:
    one = encode_tracks(tmp_path / "one.ts", [sound("aac", lambda seconds: 0.0, [(1.0, 2.0)], 3.0)])
    two = tmp_path / "two.ts"
    two.write_bytes(one.read_bytes() + one.read_bytes())
    close(loud_spans(read(two)[0]), [(1.0, 2.0), (4.0, 5.0)], 0.15)


@pytest.mark.parametrize(("late", "seconds"), [(5.0, 8.0), (100.0, 3.0)])
def test_a_live_stream_that_is_joined_later(tmp_path: Path, late: float, seconds: float) -> None:
    some = sound("libopus", lambda at: late, [(1.0, 2.0)], 3.0)
    path = encode_tracks(tmp_path / "a.webm", [some], options={"live": "1"})
    with path.open("rb") as file, open_pipe(Unseekable(file)) as audio:  # type: ignore[arg-type]
        assert sum(map(len, audio)) / 16000 == pytest.approx(seconds, abs=0.1)


def test_where_silence_goes() -> None:
    line = Timeline(origin=10.0)
    assert line.silence_before(10.02) == 0.0  # within the tolerance
    line.advance(1.0)
    assert line.silence_before(None) == 0.0
    assert line.silence_before(11.5) == pytest.approx(0.5)
    line.advance(0.5)
    assert line.silence_before(11.4) == 0.0  # a little early
    assert line.silence_before(3.0) == 0.0  # a new count
    line.advance(1.0)
    assert line.silence_before(5.0) == pytest.approx(1.0)
