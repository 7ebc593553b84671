"""The samples that a caller passes to a live stream: checked, and resampled if they have another rate."""

import numpy as np
from numpy.typing import ArrayLike

from legato.audio.arrays import ArrayReader, check_samples
from legato.types import Samples

#: Bytes of a sample that always has the full scale of its type.
_INT16 = 2


class Intake:
    """Converts the pieces of a live stream to mono float32 at the model's rate.

    Args:
        sample_rate: of the pieces, in Hz; None is the model's.
        model_rate: in Hz.
    """

    def __init__(self, sample_rate: float | None, model_rate: int) -> None:
        self._rate = None if sample_rate == model_rate else sample_rate
        self._reader = self._new_reader()
        self._wide: ArrayReader | None = None  # reads integers that are wider than their values

    @property
    def resamples(self) -> bool:
        """Whether the pieces have another rate than the model."""
        return self._reader is not None

    def read(self, samples: ArrayLike) -> Samples:
        """Return the audio that is complete after a piece: float32[m]; it may be empty.

        Raises:
            AudioError: NaN or infinite samples, or a wrong shape or type; nothing has changed.
        """
        if self._reader is not None:
            return self._reader.read(samples)
        dtype = getattr(samples, "dtype", None)
        if isinstance(dtype, np.dtype) and dtype.kind == "i" and dtype.itemsize > _INT16:
            # One piece alone may not show the width of its values, so what the pieces before it showed is kept.
            self._wide = self._wide or ArrayReader()
            return self._wide.read(samples)
        return check_samples(samples, allow_empty=True)

    def flush(self) -> Samples:
        """Return the audio that is still in the resampler, as if the audio ended here; more may follow."""
        if self._reader is None:
            return np.zeros(0, np.float32)
        rest = self._reader.finish()
        self._reader = self._new_reader()
        return rest

    def _new_reader(self) -> ArrayReader | None:
        return None if self._rate is None else ArrayReader(self._rate)
