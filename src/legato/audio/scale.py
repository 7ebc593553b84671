"""Convert samples of any numeric type to float32 in [-1, 1], including those whose values do not fit their type."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.errors import AudioError
from legato.types import Samples

_LOUDEST_FLOAT = 16.0
"""Largest magnitude of floats that are taken as samples in [-1, 1] with peaks (24 dB over full scale)."""

_MOST_FLOAT32 = float(np.finfo(np.float32).max)

_WIDTHS = (16, 24, 32, 64)
"""Bits of signed samples that may be stored in wider types."""


def scaled(array: NDArray[Any]) -> Samples:
    """Convert integers of full scale to float32 in [-1, 1]; keep the values of floats."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a float64 that overflows becomes infinite and is refused later
            return array.astype(np.float32, copy=False)
    half = float(2 ** (8 * array.dtype.itemsize - 1))
    offset = half if array.dtype.kind == "u" else 0.0
    if array.dtype.itemsize <= 2:
        return (array.astype(np.float32) - np.float32(offset)) / np.float32(half)
    return ((array.astype(np.float64) - offset) / half).astype(np.float32)


def is_plain(array: NDArray[Any]) -> bool:
    """Whether an array is mono float32 in the range of samples, without NaN, and not empty: nothing is to be done."""
    if array.dtype != np.float32 or array.ndim != 1 or not array.size:
        return False
    return bool(array.max() <= _LOUDEST_FLOAT and array.min() >= -_LOUDEST_FLOAT)


class Scaler:
    """Convert the blocks of one recording to float32 in [-1, 1].

    Types that are wider than their values are recognized by the largest value so far: int16 values in int32, int64 or
    floats, 24-bit values in int32, int64 or floats, and int32 values in int64 or floats.

    Args:
        name: what messages call the recording.
        guess: recognize such types; otherwise refuse the values that cannot be of full scale.

    Attributes:
        warning: a sentence for the user when the values did not fit their type.
    """

    def __init__(self, name: str = "audio", *, guess: bool = True) -> None:
        self.warning: str | None = None
        self._name = name
        self._guess = guess
        self._widest = 0

    def scale(self, array: NDArray[Any]) -> Samples:
        """Return the samples as float32, in the shape of `array`.

        Raises:
            AudioError: values that are samples of no known kind.
        """
        kind, size = array.dtype.kind, array.dtype.itemsize
        if array.size and (kind == "f" or size > 2):
            largest = max(abs(float(array.max())), abs(float(array.min())))
            if kind == "u":
                self._refuse_unsigned(array, largest)
            elif np.isfinite(largest) and not self._guess:
                self._refuse_narrow(array, largest)
            elif np.isfinite(largest):  # NaN and infinity are refused later, with their position
                self._widest = max(self._widest, self._width(kind, largest))
                if self._widest and (kind == "f" or self._widest < 8 * size):
                    divisor = 2 ** (self._widest - 1)
                    self.warning = f"{array.dtype} samples with values of {self._widest} bits: divided by {divisor}"
                    divided: Samples = (array.astype(np.float64) / divisor).astype(np.float32)
                    return divided
        return scaled(array)

    def _width(self, kind: str, largest: float) -> int:
        """Return the bits of signed samples with this largest magnitude; 0 for silence and for floats in [-1, 1]."""
        if largest == 0 or (kind == "f" and largest <= _LOUDEST_FLOAT):
            return 0
        for bits in _WIDTHS if kind == "i" else _WIDTHS[:-1]:
            if largest <= 2.0 ** (bits - 1):
                return bits
        if largest > _MOST_FLOAT32:  # infinite as float32, and refused as such
            return 0
        raise AudioError(
            f"{self._name}: values up to {largest:.3g}. Samples are floats in [-1, 1] or integers of full scale."
        )

    def _refuse_unsigned(self, array: NDArray[Any], largest: float) -> None:
        half = 2.0 ** (8 * array.dtype.itemsize - 1)
        if largest < half / 2:
            raise AudioError(
                f"{self._name}: {array.dtype} samples with values up to {largest:.0f}; silence is {half:.0f} in this "
                "type. Convert them to int16 or float32."
            )

    def _refuse_narrow(self, array: NDArray[Any], largest: float) -> None:
        too_loud = array.dtype.kind == "f" and _LOUDEST_FLOAT < largest <= _MOST_FLOAT32
        if too_loud or (array.dtype.kind == "i" and array.dtype.itemsize > 4 and largest):
            raise AudioError(
                f"{self._name}: {array.dtype} samples with values up to {largest:.5g}. Samples are floats in [-1, 1] "
                "or integers of full scale: convert them to int16 or float32."
            )
