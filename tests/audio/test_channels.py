"""Channels that cancel each other out, and the tracks of a file."""

from pathlib import Path

import numpy as np
import pytest

from legato.audio.arrays import check_samples
from legato.audio.mix import Mixer
from legato.audio.source import open_audio, tracks_of
from legato.audio.tracks import Track, choose_track
from legato.errors import AudioError
from tests.support.sounds import Samples, Sound, beeps, encode, encode_tracks, loud_spans, tone


def read(path: Path, **choice: int | str) -> tuple[Samples, list[str]]:
    with open_audio(path, **choice) as audio:  # type: ignore[arg-type]
        samples = np.concatenate(list(audio))
        assert audio.complete
        return samples, audio.warnings


@pytest.mark.parametrize("gain", [-1.0, -0.9])
def test_a_channel_that_is_inverted(tmp_path: Path, gain: float) -> None:
    sound = beeps([(0.5, 1.5), (2.0, 2.5)], 3.0, 16000)
    stereo = np.concatenate([sound, gain * sound], axis=1)
    samples, warnings = read(encode(tmp_path / "a.wav", stereo, 16000, "pcm_s16le"))
    np.testing.assert_allclose(samples, sound[:, 0], atol=1e-4)
    assert len(warnings) == 1
    assert "only channel 0" in warnings[0]
    np.testing.assert_allclose(check_samples(stereo), sound[:, 0], atol=1e-6)


def test_only_where_channels_cancel_is_one_taken(tmp_path: Path) -> None:
    sound = tone(4.0, 16000, (440.0, 440.0))
    sound[32000:, 1] *= -1
    samples, _ = read(encode(tmp_path / "a.wav", sound, 16000, "pcm_s16le"))
    assert np.abs(samples[:31000]).max() == pytest.approx(0.5, abs=0.01)
    assert np.abs(samples[-16000:]).max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", ["one side", "uncorrelated", "same", "nearly opposite", "silence"])
def test_other_recordings_are_averaged(name: str) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (48000, 2)).astype(np.float32)
    stereo = {
        "one side": noise * np.array([1, 0], np.float32),
        "uncorrelated": noise,
        "same": noise[:, [0, 0]],
        "nearly opposite": noise[:, [0, 0]] * np.array([1, -0.6], np.float32),
        "silence": noise * np.float32(1e-6),
    }[name]
    np.testing.assert_array_equal(check_samples(stereo), stereo.mean(axis=1, dtype=np.float32))


def test_speech_in_one_of_many_channels_is_no_cancellation() -> None:
    channels = np.zeros((8, 16000), np.float32)
    channels[2] = tone(1.0, 16000)[:, 0]
    mixer = Mixer()
    np.testing.assert_allclose(mixer.mono(channels), channels[2] / 8, atol=1e-7)
    assert mixer.warning is None


def two_tracks(path: Path) -> Path:
    silent = Sound(np.zeros((48000, 1), np.float32), 16000, "aac", "fltp", metadata=(("language", "eng"),))
    spoken = Sound(
        beeps([(1.0, 2.0)], 3.0, 16000), 16000, "aac", "fltp", metadata=(("language", "ger"), ("title", "Gast"))
    )
    return encode_tracks(path, [silent, spoken])


def test_the_track_that_is_read_is_told(tmp_path: Path) -> None:
    path = two_tracks(tmp_path / "a.mkv")
    samples, warnings = read(path)
    assert loud_spans(samples) == []
    assert len(warnings) == 1
    assert "audio track 0 (eng" in warnings[0]
    assert "of 2" in warnings[0]
    assert "1 (ger, Gast" in warnings[0]
    assert [(track.number, track.language, track.title) for track in tracks_of(path)] == [
        (0, "eng", None),
        (1, "ger", "Gast"),
    ]


@pytest.mark.parametrize("wanted", [1, "1", "de", "ger", "deu", "de-AT", "all"])
def test_a_track_is_chosen(tmp_path: Path, wanted: int | str) -> None:
    for name in ("a.mkv", "a.mp4"):
        samples, _ = read(two_tracks(tmp_path / name), track=wanted)
        np.testing.assert_allclose(loud_spans(samples), [(1.0, 2.0)], atol=0.09)


def test_a_track_that_is_not_there(tmp_path: Path) -> None:
    path = two_tracks(tmp_path / "a.mkv")
    for wanted, words in ((2, "no audio track 2"), (-1, "no audio track -1"), ("fr", "language 'fr'")):
        with pytest.raises(AudioError, match=words) as caught:
            open_audio(path, track=wanted)
        assert "ger, Gast" in str(caught.value)


def test_all_tracks_are_added_at_their_times(tmp_path: Path) -> None:
    sounds = [
        Sound(beeps([(0.5, 1.0)], 2.0, 48000), 48000, "libopus", "flt"),
        Sound(beeps([(0.5, 1.0)], 2.0, 48000), 48000, "libopus", "flt", lambda seconds: 3.0),
    ]
    path = encode_tracks(tmp_path / "a.webm", sounds)
    samples, warnings = read(path, track="all")
    np.testing.assert_allclose(loud_spans(samples), [(0.5, 1.0), (3.5, 4.0)], atol=0.05)
    assert warnings == []
    assert len(read(encode(tmp_path / "a.wav", tone(1, 16000), 16000, "pcm_s16le"), track="all")[0]) == 16000


def test_the_default_of_several_of_a_language() -> None:
    tracks = [Track(0, "eng", None, False), Track(1, "eng", None, True), Track(2, None, "x", False)]
    assert choose_track(tracks, "en", 2, "a") == 1
    assert choose_track(tracks, None, 2, "a") == 2
    assert str(tracks[1]) == "1 (eng, default)"
    assert str(Track(3, None, None, False)) == "3"
