"""Resample mono audio to the rate of the models, block by block."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.errors import AudioError
from legato.types import Samples

SAMPLE_RATE = 16000
"""Samples per second of all audio that this package returns."""


def whole_number(value: float, what: str) -> int:
    """Return a number as an int: NumPy scalars and floats without a fraction are numbers too.

    Args:
        what: what the message calls it.

    Raises:
        AudioError: it is not a whole number.
    """
    try:
        number = int(value)
        whole = number == value and not isinstance(value, bool | np.bool_ | str)
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise AudioError(f"{what} is {value!r}. Give a whole number.")
    return number


class Resampler:
    """Resample one mono signal to 16 kHz. At 16 kHz the samples pass through unchanged.

    Args:
        rate: samples per second of the input, 1000 to 1000000.
        name: what error messages call the audio.

    Raises:
        AudioError: the rate is out of range.
    """

    def __init__(self, rate: int, name: str = "audio") -> None:
        if not 1000 <= rate <= 1_000_000:
            raise AudioError(f"{name}: a sample rate of {rate} Hz is not possible. Legato reads 1 kHz to 1 MHz.")
        self.rate = rate
        self._stream: Any = None
        if rate != SAMPLE_RATE:
            import soxr  # noqa: PLC0415 - `import legato` must not load it

            self._stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def process(self, samples: Samples) -> Samples:
        """Return the output that is complete after these samples; it may be empty."""
        return samples if self._stream is None else as_float32(self._stream.resample_chunk(samples))

    def finish(self, samples: Samples | None = None) -> Samples:
        """Return the rest of the output. The resampler cannot be used afterwards.

        Args:
            samples: the last samples, if there are more.
        """
        rest = np.zeros(0, np.float32) if samples is None else samples
        return rest if self._stream is None else as_float32(self._stream.resample_chunk(rest, last=True))


def as_float32(samples: NDArray[Any]) -> Samples:
    """Return the samples as float32, without a copy where they are float32 already."""
    return samples.astype(np.float32, copy=False)
