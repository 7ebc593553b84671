"""A series of values that come with the audio and wait for the encoder frames that they belong to."""

from dataclasses import dataclass, field

import numpy as np

from legato.types import Floats


@dataclass(frozen=True)
class FrameBuffer:
    """The part of a series, one value per mel frame or window of the stream, that is still needed.

    Attributes:
        values: float32[n].
        first: index of the first of them in the series.
    """

    values: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    first: int = 0

    def extended(self, values: Floats) -> "FrameBuffer":
        """Append values."""
        return FrameBuffer(np.concatenate([self.values, values]), self.first) if len(values) else self

    def between(self, start: int, end: int) -> Floats:
        """Return values `start` to `end` of the series, as far as they are present."""
        return self.values[max(0, start - self.first) : max(0, end - self.first)]

    def after(self, start: int) -> "FrameBuffer":
        """Drop the values before `start`."""
        dropped = min(max(0, start - self.first), len(self.values))
        return FrameBuffer(self.values[dropped:].copy(), self.first + dropped) if dropped else self
