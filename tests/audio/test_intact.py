"""Intact files are never called damaged, and files that are cut off always are."""

from pathlib import Path

import numpy as np
import pytest

from legato.audio.source import open_audio
from tests.support.sounds import Sound, encode, encode_tracks, tone

KINDS = [
    ("a.wav", "pcm_s16le", "s16", 16000),
    ("b.wav", "adpcm_ms", "s16", 16000),
    ("a.mp3", "libmp3lame", "s16p", 44100),
    ("a.m4a", "aac", "fltp", 44100),
    ("a.mp4", "alac", "s16p", 44100),
    ("a.mov", "pcm_s16le", "s16", 44100),
    ("a.caf", "alac", "s16p", 44100),
    ("b.caf", "pcm_s16le", "s16", 44100),
    ("a.aiff", "pcm_s16be", "s16", 44100),
    ("a.au", "pcm_s16be", "s16", 44100),
    ("a.w64", "pcm_s16le", "s16", 44100),
    ("a.flac", "flac", "s16", 44100),
    ("a.opus", "libopus", "flt", 48000),
    ("a.ogg", "flac", "s16", 44100),
    ("a.avi", "libmp3lame", "s16p", 44100),
    ("a.mkv", "aac", "fltp", 44100),
    ("b.mkv", "eac3", "fltp", 48000),
    ("a.webm", "libopus", "flt", 48000),
    ("a.ts", "aac", "fltp", 44100),
    ("a.mpg", "mp2", "s16", 44100),
    ("a.vob", "ac3", "fltp", 48000),
    ("a.flv", "aac", "fltp", 44100),
    ("a.aac", "aac", "fltp", 44100),
    ("a.wv", "wavpack", "s16p", 44100),
    ("a.tta", "tta", "s16", 44100),
    ("a.amr", "libopencore_amrnb", "s16", 8000),
    ("a.nut", "aac", "fltp", 44100),
    ("a.rm", "real_144", "s16", 8000),
    ("a.wma", "wmav2", "fltp", 44100),
    ("b.asf", "wmav1", "fltp", 44100),
    ("c.asf", "libmp3lame", "s16p", 44100),
    ("a.g722", "g722", "s16", 16000),
]
IDS = [kind[0] for kind in KINDS]


def read(path: Path) -> tuple[float, bool, list[str]]:
    with open_audio(path) as audio:
        seconds = sum(len(block) for block in audio) / 16000
        return seconds, audio.complete, audio.warnings


@pytest.mark.parametrize(("name", "codec", "kind", "rate"), KINDS, ids=IDS)
@pytest.mark.parametrize("seconds", [0.7, 13.3])
def test_intact(*, tmp_path: Path, name: str, codec: str, kind: str, rate: int, seconds: float) -> None:
    path = encode(tmp_path / name, tone(seconds, rate), rate, codec, kind)
    read_seconds, complete, warnings = read(path)
    assert read_seconds == pytest.approx(seconds, abs=0.13)
    assert (complete, warnings) == (True, [])


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "aac"), ("b.mkv", "flac"), ("a.mp4", "aac"), ("a.mov", "pcm_s16le"), ("a.ts", "aac")]
)
def test_audio_that_is_shorter_than_its_video(tmp_path: Path, name: str, codec: str) -> None:
    kind = "fltp" if codec == "aac" else "s16"
    sound = Sound(tone(3.0, 44100), 44100, codec, kind)
    seconds, complete, warnings = read(encode_tracks(tmp_path / name, [sound], video_seconds=40))
    assert seconds == pytest.approx(3.0, abs=0.1)
    assert (complete, warnings) == (True, [])


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [("a.mkv", "aac", 20), ("b.mkv", "flac", 0), ("a.webm", "libopus", 0), ("a.mp4", "aac", 20), ("a.mov", "aac", 0)],
)
def test_cut_off(tmp_path: Path, name: str, codec: str, video: float) -> None:
    rate = 48000 if codec == "libopus" else 44100
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (rate * 20, 1)).astype(np.float32)
    sound = Sound(noise, rate, codec, {"libopus": "flt", "aac": "fltp"}.get(codec, "s16"))
    options = {"movflags": "faststart"} if name in {"a.mp4", "a.mov"} else {}
    path = encode_tracks(tmp_path / name, [sound], video_seconds=video, options=options)
    assert read(path)[1:] == (True, [])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    seconds, complete, warnings = read(path)
    assert 8 < seconds < 12
    assert not complete
    assert len(warnings) == 1
    assert f"{seconds:.2f} s" in warnings[0] or "could be read" in warnings[0]


def test_an_ogg_file_that_ends_with_a_whole_page_is_intact(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.opus", tone(10.0, 48000), 48000, "libopus", "flt")
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"OggS")])  # some recorders mark no last page
    seconds, complete, warnings = read(path)
    assert seconds > 8
    assert (complete, warnings) == (True, [])
    path.write_bytes(data[:-100])
    assert not read(path)[1]


def test_mp4_with_an_index_that_states_a_longer_track_is_intact(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", tone(3.0, 44100), 44100, "aac", "fltp")
    data = bytearray(path.read_bytes())
    at = data.index(b"mdhd") + 20  # the duration in version 0
    data[at : at + 4] = (60 * 44100).to_bytes(4, "big")
    path.write_bytes(data)
    assert read(path)[1:] == (True, [])
