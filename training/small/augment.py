"""Random changes of stored log-mel features, drawn again for each use of an utterance.

They imitate changes of the sound: tempo, vocal tract of the speaker, room, background, channel, telephone band, level,
lost packets. Powers of different sounds add up, also in a mel band; what is not a sum or a product of powers (codecs,
clipping) is done to the audio when it is stored (:mod:`training.small.lines`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from legato.runtime.features import LOG_FLOOR
from training.small import noises

Mel = npt.NDArray[np.float32]
Generator = np.random.Generator
#: Returns the power [frames, 128] of other people who speak.
Babble = Callable[[int], Mel]

BANDS = noises.BANDS
SILENCE = float(np.log(LOG_FLOOR))
#: Vocal tracts and tempi are drawn from these ranges of the natural logarithm.
TRACT, TEMPO = 0.15, 0.15


@dataclass(frozen=True)
class Piece:
    """Features of one utterance [T, 128], and the frames between which there is speech."""

    mel: Mel
    onset: float
    end: float


def warp(piece: Piece, tempo: float, tract: float) -> Piece:
    """Play ``tempo`` times as fast, and multiply all frequencies by ``tract``."""
    mel = piece.mel
    frames = max(1, round(len(mel) / tempo))
    if frames != len(mel):
        mel = _interpolate(mel, np.linspace(0, len(mel) - 1, frames))
    if tract != 1.0:
        mel = _interpolate(mel.T, np.clip(noises.band_of(noises.CENTERS / tract), 0, BANDS - 1)).T
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


def edges(piece: Piece, rng: Generator) -> Piece:
    """Add silence on either side, or cut the stored silence off there: a window starts and ends anywhere."""
    before, after = (int(rng.choice(np.array([-40, 0, rng.integers(0, 60)]))) for _ in range(2))
    piece = pad(piece, max(0, before), max(0, after))
    start = int(piece.onset) if before < 0 else 0
    stop = max(start + 1, int(piece.end) + 1) if after < 0 and piece.end else len(piece.mel)
    return Piece(piece.mel[start:stop], piece.onset - start, piece.end - start)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _decaying(power: Mel, decay: float) -> Mel:
    """Return the sum of all earlier frames, each ``decay`` times weaker per frame."""
    late = np.zeros_like(power)
    for frame in range(1, len(power)):
        late[frame] = decay * (late[frame - 1] + power[frame - 1])
    return late


def reverberate(power: Mel, rng: Generator) -> Mel:
    """Add the late reverberation of a room: the energy of what was said before falls exponentially."""
    decay = 10 ** (-6 * 0.01 / rng.uniform(0.15, 0.9))  # per frame; the reverberation time in s
    late = 10 ** (rng.uniform(-12, 3) / 10)  # energy of the late part against the direct one
    return np.asarray(power + late * (1 - decay) / decay * _decaying(power, decay), dtype=np.float32)


def color(mel: Mel, rng: Generator, babble: Babble) -> Mel:
    """Change room, channel, background, line and level."""
    bands = np.linspace(0, 1, BANDS)
    channel = sum(rng.normal(0, 0.5) * np.cos(np.pi * k * bands) for k in range(1, 4))
    power = np.exp(mel + np.asarray(channel, np.float32)) - np.float32(LOG_FLOOR)
    if rng.random() < 0.25:
        power = reverberate(power, rng)
    if rng.random() < 0.7:
        background = babble(len(power)) if rng.random() < 0.3 else noises.any_noise(len(power), rng)
        noises.add(power, background, decibels=rng.triangular(0, 10, 30))
    if rng.random() < 0.15:
        power = noises.telephone(power, rng)
    power *= np.float32(np.exp(rng.uniform(-5.0, 1.0)))  # -22 to +4 dB
    changed = np.log(np.maximum(power, 0) + np.float32(LOG_FLOOR))
    if rng.random() < 0.05:
        for start in rng.integers(0, len(changed), size=rng.integers(1, 4)):
            changed[start : start + rng.integers(2, 7)] = SILENCE  # lost packets
    return np.asarray(changed, dtype=np.float32)


def hiss(mel: Mel, rng: Generator) -> Mel:
    """Add the noise of a good microphone, 26 to 61 dB below the speech: synthesized pauses are digital silence."""
    power = np.exp(mel) - np.float32(LOG_FLOOR)
    noises.add(power, noises.steady(len(power), rng), decibels=rng.uniform(26, 61))
    return np.asarray(np.log(np.maximum(power, 0) + np.float32(LOG_FLOOR)), dtype=np.float32)


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


def vary(piece: Piece, rng: Generator, strength: float, babble: Babble) -> Piece:
    """Apply everything; ``strength`` is the share of utterances that each change applies to."""
    tempo = float(np.exp(rng.uniform(-TEMPO, TEMPO))) if rng.random() < strength else 1.0
    tract = float(np.exp(rng.uniform(-TRACT, TRACT))) if rng.random() < strength else 1.0
    piece = warp(piece, tempo, tract)
    if rng.random() < strength:
        piece = edges(piece, rng)
    if rng.random() < strength:
        mel = color(piece.mel, rng, babble)
    elif strength and rng.random() < 0.5:
        mel = hiss(piece.mel, rng)
    else:
        mel = piece.mel.copy()
    if rng.random() < strength:
        mask(mel, rng)
    return Piece(mel, piece.onset, piece.end)
