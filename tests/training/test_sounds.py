"""Rooms, lines, backgrounds and random changes of the training data; skipped without its requirements."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="training/small/requirements.txt is not installed")
pytest.importorskip("soundfile", reason="training/small/requirements.txt is not installed")

from training.small import augment, lines, noises, rooms
from training.small.conditions import CONDITIONS, RATIO

RATE = 16000
RNG = np.random.default_rng


def sweep(seconds: float = 1.0) -> np.ndarray:
    """A tone that rises from 100 to 7000 Hz."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * (100 * time + 6900 / 2 / seconds * time**2))).astype(np.float32)


def decibels(part: np.ndarray, whole: np.ndarray) -> float:
    return float(10 * np.log10((part**2).sum() / (whole**2).sum()))


@pytest.mark.parametrize("codec", sorted(lines.CODECS))
def test_a_codec_keeps_length_and_most_of_the_sound(codec: str) -> None:
    audio = lines.band(sweep(), 300, 3400)
    decoded = lines.through(audio, codec, RNG(1))
    assert (decoded.dtype, decoded.shape) == (np.float32, audio.shape)
    assert abs(decibels(decoded, audio)) < 6


def test_a_telephone_line_has_the_band_of_a_telephone() -> None:
    spectrum = np.abs(np.fft.rfft(lines.telephone(sweep(), "mulaw", RNG(1))))
    hertz = np.fft.rfftfreq(RATE, 1 / RATE)
    inside = spectrum[(hertz > 400) & (hertz < 3300)]
    assert decibels(spectrum[hertz > 4200], inside) < -40
    assert decibels(spectrum[hertz < 200], inside) < -20


@pytest.mark.parametrize("codec", ["mulaw", "alaw"])
def test_companding_without_a_codec_is_as_good_as_the_codec(codec: str) -> None:
    audio = lines.band(sweep(), 300, 3400)
    with_codec, without = lines.through(audio, codec, RNG(1)), lines.companded(audio, codec)
    assert (without.dtype, without.shape) == (np.float32, audio.shape)
    noise = [decibels(result - audio, audio) for result in (with_codec, without)]
    assert noise[1] < -25
    assert abs(noise[0] - noise[1]) < 6


def test_lost_packets_are_silent_and_the_rest_is_untouched() -> None:
    audio = np.ones(RATE, np.float32)
    packets = lines.lose_packets(audio, RNG(1), 0.2).reshape(-1, RATE // 50)
    lost = packets.max(axis=1) == 0
    assert 3 <= lost.sum() <= 20
    assert (packets[~lost] == 1).all()


def test_a_room_begins_with_the_direct_sound_and_fades() -> None:
    for seed in range(20):
        response = rooms.impulse_response(RNG(seed))
        assert response[0] == 1
        quarter = len(response) // 4
        assert (response[-quarter:] ** 2).sum() < (response[:quarter] ** 2).sum()


def test_backgrounds_are_added_as_loud_as_asked_for() -> None:
    for kind in (noises.steady, noises.changing, noises.hum, noises.music):
        speech = RNG(1).uniform(0.5, 1, (200, noises.BANDS)).astype(np.float32)
        total = speech.copy()
        noises.add(total, kind(200, RNG(2)), decibels=10)
        added = 10 * np.log10(noises.loudness(total - speech) / noises.loudness(speech))
        assert added == pytest.approx(-10, abs=0.1), kind


def test_band_centers_are_where_the_front_end_has_them() -> None:
    np.testing.assert_allclose(noises.band_of(noises.CENTERS), np.arange(noises.BANDS), atol=1e-9)
    quiet = noises.telephone(np.ones((10, noises.BANDS), np.float32), RNG(1))
    assert quiet[:, noises.CENTERS > 4500].max() < 0.1
    assert quiet[:, (noises.CENTERS > 500) & (noises.CENTERS < 3000)].min() >= 1


def test_a_warped_piece_keeps_its_speech_between_its_marks() -> None:
    mel = np.full((100, noises.BANDS), augment.SILENCE, np.float32)
    mel[20:60, 50] = 0.0  # a tone
    piece = augment.warp(augment.Piece(mel, 20, 60), tempo=2.0, tract=1.15)
    assert (len(piece.mel), piece.onset, piece.end) == (50, 10, 30)
    highest = int(piece.mel[20].argmax())
    assert noises.CENTERS[highest] == pytest.approx(1.15 * noises.CENTERS[50], rel=0.03)
    for seed in range(20):
        changed = augment.vary(piece, RNG(seed), 1.0, lambda frames: noises.steady(frames, RNG(0)))
        assert np.isfinite(changed.mel).all()
        assert 0 <= changed.onset <= changed.end <= len(changed.mel) + 1


def test_reverberation_follows_the_sound_only() -> None:
    power = np.zeros((50, noises.BANDS), np.float32)
    power[10] = 1.0
    wet = augment.reverberate(power, RNG(3))
    assert (wet[:10] == 0).all()
    assert (wet[10] == 1).all()
    assert (np.diff(wet[11:, 0]) < 0).all()


@pytest.mark.parametrize("name", [name for name in CONDITIONS if "dB" in name])
def test_conditions_add_noise_at_their_ratio(name: str) -> None:
    audio = 0.1 * sweep()
    others = [RNG(seed).normal(size=RATE // 2).astype(np.float32) for seed in range(6)]
    heard = CONDITIONS[name](audio, others, RNG(1))
    assert decibels(heard - audio, audio) == pytest.approx(-RATIO, abs=0.1)
