"""Average the channels of a recording, unless they cancel each other out."""

import math

import numpy as np
from numpy.typing import NDArray

from legato.audio.resample import SAMPLE_RATE, as_float32
from legato.types import Samples

_MEMORY_SECONDS = 0.5
_CANCELS = 0.05
"""Energy of the mean, relative to that of uncorrelated channels, below which the channels cancel each other out: for
two channels of equal level, a correlation below -0.95."""
_FLOOR = 1e-8
"""Mean square, over the memory, below which nothing is decided: -80 dB of full scale."""


class Mixer:
    """Turn the channels of one recording into mono, block by block.

    In some recordings one channel is inverted, as with a balanced cable that is wired wrongly: the mean of the channels
    is then silence. While that is so, the loudest channel is used instead of the mean.

    Args:
        rate: samples per second.

    Attributes:
        used: the channel that was used where the mean cancels; None when that was nowhere.
    """

    def __init__(self, rate: int = SAMPLE_RATE) -> None:
        self.used: int | None = None
        self._rate = rate
        self._energies = np.zeros(0)
        self._mean_energy = 0.0
        self._cancels = False

    def mono(self, channels: NDArray[np.float32]) -> Samples:
        """Return float32[n] for float32[channels, n]."""
        if len(channels) == 1:
            first: Samples = channels[0]
            return first
        mean = as_float32(channels.mean(axis=0, dtype=np.float32))
        self._observe(channels, mean)
        if not self._cancels:
            return mean
        self.used = int(self._energies.argmax()) if self.used is None else self.used
        return np.ascontiguousarray(channels[min(self.used, len(channels) - 1)])

    def _observe(self, channels: NDArray[np.float32], mean: Samples) -> None:
        """Decide from the energies of about the last half second."""
        if len(self._energies) != len(channels):  # some files change their layout in the middle
            self._energies = np.zeros(len(channels))
            self._mean_energy = 0.0
        kept = math.exp(-len(mean) / (self._rate * _MEMORY_SECONDS))
        with np.errstate(all="ignore"):  # NaN and infinity are refused elsewhere
            self._energies = kept * self._energies + np.einsum("cn,cn->c", channels, channels)
            self._mean_energy = kept * self._mean_energy + float(np.dot(mean, mean))
            total = float(self._energies.sum())
            if total / (self._rate * _MEMORY_SECONDS) > _FLOOR:
                self._cancels = self._mean_energy < _CANCELS * total / len(channels) ** 2

    @property
    def warning(self) -> str | None:
        """A sentence for the user when a channel was used in place of the mean."""
        if self.used is None:
            return None
        return (
            "its channels cancel each other out when they are averaged; "
            f"where they do, only channel {self.used} was used"
        )
