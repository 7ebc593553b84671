"""The blank monitor: detects streams that sound like speech and give no text.

A wrong language prompt does that, and damaged audio. Loud means louder than the quietest of the last seconds, as speech
with its pauses is; steady noise does not stay loud for long.
"""

from dataclasses import dataclass, replace

import numpy as np

from legato.types import Floats, Frames

#: Mean log-mel below which nothing is loud; white noise of -60 dBFS has -13.5.
_LOUD = -12.5
#: How far loud frames are above the floor, in the same unit (about 9 dB).
_ABOVE = 2.0
#: How fast the floor rises per second; it falls at once.
_RISE = 0.5
#: Seconds of loud audio that one token accounts for, and the number of unaccounted seconds that is suspicious.
_TOKEN_SECONDS = 4.0
LIMIT_SECONDS = 20.0


def levels(mel: Frames) -> Floats:
    """Return the loudness of mel frames float32[n, bins], the mean over the bands: float32[n]."""
    result: Floats = mel.mean(axis=1, dtype=np.float32)
    return result


@dataclass(frozen=True, slots=True)
class BlankMonitor:
    """The state of the monitor.

    Attributes:
        floor: level of the background; infinite at the start.
        silent: seconds of loud audio that no token accounts for.
        suspicious: `silent` has reached the limit.
    """

    floor: float = float("inf")
    silent: float = 0.0
    suspicious: bool = False

    def after_frame(self, level: float, tokens: int, seconds: float) -> "BlankMonitor":
        """Return the state after one encoder frame.

        Args:
            level: the loudest level in it.
            tokens: text tokens that it emitted.
            seconds: its length.
        """
        floor = min(level, self.floor + _RISE * seconds)
        loud = level > max(_LOUD, floor + _ABOVE)
        silent = max(0.0, self.silent + seconds * loud - _TOKEN_SECONDS * tokens)
        return BlankMonitor(floor, silent, self.suspicious or silent >= LIMIT_SECONDS)

    def reset(self) -> "BlankMonitor":
        """Drop the suspicion, as when the language changes."""
        return replace(self, silent=0.0, suspicious=False)
