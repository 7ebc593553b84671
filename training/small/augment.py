"""Random changes of stored log-mel features, drawn again for each use of an utterance.

They imitate changes of the sound: tempo, vocal tract of the speaker, level, channel, background noise.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from legato.runtime.features import LOG_FLOOR

Mel = npt.NDArray[np.float32]
Generator = np.random.Generator

BANDS = 128
SILENCE = float(np.log(LOG_FLOOR))


@dataclass(frozen=True)
class Piece:
    """Features of one utterance [T, 128], and the frames between which there is speech."""

    mel: Mel
    onset: float
    end: float


def warp(piece: Piece, tempo: float, pitch: float) -> Piece:
    """Play ``tempo`` times as fast, and scale the frequency axis by ``pitch``."""
    mel = piece.mel
    frames = max(1, round(len(mel) / tempo))
    if frames != len(mel):
        mel = _interpolate(mel, np.linspace(0, len(mel) - 1, frames))
    if pitch != 1.0:
        mel = _interpolate(mel.T, np.minimum(np.arange(BANDS) / pitch, BANDS - 1)).T
    factor = frames / len(piece.mel)
    return Piece(mel, piece.onset * factor, piece.end * factor)


def _interpolate(rows: Mel, positions: npt.NDArray[np.float64]) -> Mel:
    """Return linearly interpolated rows [len(positions), ...] of rows [N, ...]."""
    low = positions.astype(np.int64)
    high = np.minimum(low + 1, len(rows) - 1)
    share = (positions - low).astype(np.float32)[:, None]
    return np.asarray(rows[low] * (1 - share) + rows[high] * share, dtype=np.float32)


def pad(piece: Piece, before: int, after: int) -> Piece:
    """Add frames of digital silence."""
    mel = np.pad(piece.mel, ((before, after), (0, 0)), constant_values=SILENCE)
    return Piece(mel, piece.onset + before, piece.end + before)


def add_noise(power: Mel, rng: Generator, below: float) -> None:
    """Add noise of a random spectrum in place, ``below`` nepers of power under the speech."""
    bands = np.linspace(0, 1, BANDS)
    loudness = np.log(max(float(np.quantile(power.mean(axis=1), 0.9)), 1e-12))
    slope = rng.uniform(-5.0, 1.0)
    spectrum = np.exp(loudness - below + slope * (bands - 0.3)).astype(np.float32)
    # The power in a band scatters as a mean of a few exponential variables.
    power += spectrum * (rng.standard_gamma(2.0, size=power.shape, dtype=np.float32) / 2.0)


def color(mel: Mel, rng: Generator) -> Mel:
    """Change level and channel, and add noise to half of the utterances; work on powers, as sounds add up."""
    bands = np.linspace(0, 1, BANDS)
    level = rng.uniform(-5.0, 1.0)  # natural log of power: -22 to +4 dB
    channel = sum(rng.normal(0, 0.5) * np.cos(np.pi * k * bands) for k in range(1, 4))
    power = np.exp(mel + (level + channel).astype(np.float32)) - LOG_FLOOR
    if rng.random() < 0.5:
        add_noise(power, rng, rng.uniform(1.5, 10.0))  # 6 to 43 dB
    return np.asarray(np.log(np.maximum(power, 0) + LOG_FLOOR), dtype=np.float32)


def hiss(mel: Mel, rng: Generator) -> Mel:
    """Add the noise of a good microphone, 26 to 61 dB below the speech: synthesized pauses are digital silence."""
    power = np.exp(mel) - LOG_FLOOR
    add_noise(power, rng, rng.uniform(6.0, 14.0))
    return np.asarray(np.log(np.maximum(power, 0) + LOG_FLOOR), dtype=np.float32)


def mask(mel: Mel, rng: Generator) -> None:
    """SpecAugment in place: up to two groups of bands, and sometimes one short span of time."""
    level = float(mel.mean())
    for _ in range(int(rng.integers(0, 3))):
        width = int(rng.integers(1, 16))
        low = int(rng.integers(0, BANDS - width))
        mel[:, low : low + width] = level
    if len(mel) > 60 and rng.random() < 0.3:
        width = int(rng.integers(1, 8))
        start = int(rng.integers(0, len(mel) - width))
        mel[start : start + width] = level


def vary(piece: Piece, rng: Generator, strength: float) -> Piece:
    """Apply everything; ``strength`` is the share of utterances that each change applies to."""
    tempo = float(np.exp(rng.uniform(-0.1, 0.12))) if rng.random() < strength else 1.0
    pitch = float(np.exp(rng.uniform(-0.08, 0.08))) if rng.random() < strength else 1.0
    piece = warp(piece, tempo, pitch)
    if rng.random() < strength:
        piece = pad(piece, int(rng.choice([0, rng.integers(0, 60)])), int(rng.choice([0, rng.integers(0, 70)])))
    if rng.random() < strength:
        mel = color(piece.mel, rng)
    elif strength and rng.random() < 0.5:
        mel = hiss(piece.mel, rng)
    else:
        mel = piece.mel.copy()
    if rng.random() < strength:
        mask(mel, rng)
    return Piece(mel, piece.onset, piece.end)
