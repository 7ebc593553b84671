"""Backgrounds as powers of mel bands [T, 128]: steady and changing noise, hum, music; and the band of a telephone.

The power of noise in a band scatters as a mean of a few exponential variables.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

from legato.types import MelConfig

Power = npt.NDArray[np.float32]
Generator = np.random.Generator

BANDS = 128


def _mel(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Slaney's mel scale, which the front end uses: linear up to 1 kHz, 27 steps per factor of 6.4 above."""
    above = 15.0 + np.log(np.maximum(hertz, 1000.0) / 1000.0) * 27.0 / np.log(6.4)
    return np.where(hertz < 1000.0, hertz * 0.015, above)


_TOP = float(_mel(np.array(8000.0)))
_CENTER_MELS = (np.arange(BANDS) + 1) * _TOP / (BANDS + 1)
#: The frequency in the middle of each band, in Hz.
CENTERS = np.where(_CENTER_MELS < 15.0, _CENTER_MELS / 0.015, 1000.0 * 6.4 ** ((_CENTER_MELS - 15.0) / 27.0))

#: What the front end's pre-emphasis makes of white noise in each band.
_EMPHASIS = np.abs(1 - MelConfig.pre_emphasis * np.exp(-2j * np.pi * CENTERS / MelConfig.sample_rate)) ** 2


def band_of(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the position between the bands, such as 3.4, whose middle is at a frequency."""
    return _mel(hertz) * (BANDS + 1) / _TOP - 1


def loudness(power: Power) -> float:
    """Return the power of the loud frames."""
    return max(float(np.quantile(power.mean(axis=1), 0.9)), 1e-12)


def add(power: Power, background: Power, decibels: float) -> None:
    """Add a background in place whose loud frames are ``decibels`` below those of the speech."""
    background *= np.float32(loudness(power) / loudness(background) * 10 ** (-decibels / 10))
    power += background


@cache
def _scatter() -> Power:
    """Return five minutes of scatter: drawing it anew for each noise took half of the time of making batches."""
    return np.asarray(np.random.default_rng(0).standard_gamma(2.0, (30000, BANDS)) / 2, dtype=np.float32)


def _scattered(spectrum: npt.NDArray[np.float64], frames: int, rng: Generator) -> Power:
    scatter = _scatter()
    first = int(rng.integers(len(scatter)))
    rows = scatter[first : first + frames]
    if len(rows) < frames:
        rows = scatter[np.arange(first, first + frames) % len(scatter)]
    return rows * spectrum.astype(np.float32)


def steady(frames: int, rng: Generator) -> Power:
    """Return noise of a random slope, from falling steeply with frequency to rising; half of it is nearly white."""
    slope = rng.uniform(-0.5, 0.5) if rng.random() < 0.5 else rng.uniform(-5.0, 1.0)
    return _scattered(np.exp(slope * np.linspace(0, 1, BANDS)) * _EMPHASIS, frames, rng)


def changing(frames: int, rng: Generator) -> Power:
    """Return noise that swells and falls within 0.1 to 2 s, by up to 20 dB."""
    knots = rng.uniform(-4.6, 0, size=2 + frames // int(rng.integers(10, 200)))
    level = np.interp(np.linspace(0, len(knots) - 1, frames), np.arange(len(knots)), knots)
    return steady(frames, rng) * np.exp(level)[:, None].astype(np.float32)


def _partials(fundamental: float, count: int, falling: float) -> npt.NDArray[np.float64]:
    """Return a spectrum [128] with peaks at the multiples of a frequency."""
    spectrum = np.full(BANDS, 1e-4)
    for number in range(1, count + 1):
        if number * fundamental < 7900:
            distance = np.arange(BANDS) - band_of(np.array(number * fundamental))
            spectrum += number**-falling * np.exp(-(distance**2))
    return spectrum


def hum(frames: int, rng: Generator) -> Power:
    """Return the hum of the mains with up to 20 partials."""
    spectrum = _partials(float(rng.choice([50.0, 60.0])), int(rng.integers(2, 20)), rng.uniform(0.5, 2))
    return _scattered(spectrum, frames, rng) * np.float32(0.3) + np.float32(0.7) * spectrum.astype(np.float32)


def music(frames: int, rng: Generator) -> Power:
    """Return one to four voices of notes of 0.1 to 0.8 s that fade away."""
    power = np.full((frames, BANDS), 1e-4, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        falling, octave, start = rng.uniform(1, 3), int(rng.integers(0, 3)), 0
        while start < frames:
            length = int(rng.integers(10, 80))
            note = _partials(110.0 * 2 ** (octave + int(rng.integers(12)) / 12), 12, falling)
            stop = min(frames, start + length)
            fading = np.exp(-np.arange(stop - start) / rng.uniform(10, 60))
            power[start:stop] += (fading[:, None] * note).astype(np.float32)
            start = stop
    return power


def any_noise(frames: int, rng: Generator) -> Power:
    """Return one of these backgrounds; half of them are steady."""
    kinds = (steady, steady, steady, changing, hum, music)
    return kinds[int(rng.integers(len(kinds)))](frames, rng)


def telephone(power: Power, rng: Generator) -> Power:
    """Keep 300 to 3400 Hz, with the noise of eight logarithmic bits in each frame, as after resampling from 8 kHz."""
    low, high = rng.uniform(200, 350), rng.uniform(3200, 3700)
    slope = rng.uniform(2, 6)  # nepers of power per octave
    octaves = np.maximum(np.log2(low / CENTERS), 0) + 6 * np.maximum(np.log2(CENTERS / high), 0)
    kept = power * np.exp(-slope * octaves).astype(np.float32)
    quantized = kept.mean(axis=1, keepdims=True) * np.float32(10 ** (-rng.uniform(3.2, 3.8)))
    return np.asarray(kept + quantized * (CENTERS < 4000), dtype=np.float32)
