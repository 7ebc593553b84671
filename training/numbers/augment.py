"""Changes of speed, channel, level and background made to the waveform before the features."""

import numpy as np
import soxr
from scipy.signal import fftconvolve, lfilter

from training.common.audio import SAMPLE_RATE, Audio

Generator = np.random.Generator


def change_speed(audio: Audio, factor: float) -> Audio:
    """Play ``factor`` times as fast: tempo, pitch and formants move together, as another speaker's would."""
    return np.asarray(soxr.resample(audio, SAMPLE_RATE, SAMPLE_RATE / factor, quality="MQ"), dtype=np.float32)


def telephone(audio: Audio) -> Audio:
    """Remove everything above 4 kHz, as in recordings made at 8 kHz."""
    low_rate = soxr.resample(audio, SAMPLE_RATE, SAMPLE_RATE // 2)
    return np.asarray(soxr.resample(low_rate, SAMPLE_RATE // 2, SAMPLE_RATE), dtype=np.float32)


def tilt(audio: Audio, rng: Generator) -> Audio:
    """Random first-order spectral tilt and one random resonance: microphones and rooms differ."""
    audio = lfilter([1.0, rng.uniform(-0.6, 0.6)], [1.0], audio)
    radius, angle = rng.uniform(0.3, 0.75), rng.uniform(0.05, 0.9) * np.pi
    poles = [1.0, -2 * radius * np.cos(angle), radius**2]
    return np.asarray(lfilter([1.0], poles, audio), dtype=np.float32)


def reverberate(audio: Audio, rng: Generator) -> Audio:
    """Convolve with an exponentially decaying noise tail after the direct sound."""
    decay = rng.uniform(0.03, 0.15)
    times = np.arange(int(decay * 3 * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * np.exp(-times / decay)
    tail *= rng.uniform(0.05, 0.35) / (np.linalg.norm(tail) + 1e-9)
    tail[0] = 1.0
    return np.asarray(fftconvolve(audio, tail)[: len(audio)], dtype=np.float32)


def noise(samples: int, rng: Generator) -> Audio:
    """Return colored noise of unit variation, sometimes with mains hum."""
    white = rng.standard_normal(samples)
    colored = lfilter([1.0], [1.0, -rng.choice([0.0, 0.7, 0.9, 0.97, -0.5])], white)
    colored /= colored.std() + 1e-9
    if rng.random() < 0.2:
        times = np.arange(samples) / SAMPLE_RATE
        colored += rng.uniform(0.3, 1.5) * np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * times)
    return np.asarray(colored / (colored.std() + 1e-9), dtype=np.float32)


def finish(audio: Audio, rng: Generator) -> Audio:
    """Apply room, channel, level and noise to a whole utterance; 40 % stay without noise."""
    if rng.random() < 0.35:
        audio = tilt(audio, rng)
    if rng.random() < 0.2:
        audio = reverberate(audio, rng)
    level = 10 ** (rng.uniform(-24, -1) / 20)
    audio = audio * (level / (np.abs(audio).max() + 1e-9))
    if rng.random() < 0.6:
        speech = np.sqrt(np.mean(audio[np.abs(audio) > 0.05 * level] ** 2) + 1e-12)
        audio = audio + noise(len(audio), rng) * speech * 10 ** (-rng.uniform(8, 45) / 20)
    return _as_int16(audio)


def finish_lightly(audio: Audio, rng: Generator) -> Audio:
    """Apply a level, and to half of the utterances a little noise."""
    level = 10 ** (rng.uniform(-12, -3) / 20)
    audio = audio * (level / (np.abs(audio).max() + 1e-9))
    if rng.random() < 0.5:
        audio = audio + noise(len(audio), rng) * level * 10 ** (-rng.uniform(35, 60) / 20)
    return _as_int16(audio)


def _as_int16(audio: Audio) -> Audio:
    """Round to 16 bits, as files and sound cards do: digital silence stays exact."""
    return np.asarray(np.round(np.clip(audio, -1, 1) * 32767) / 32768, dtype=np.float32)
