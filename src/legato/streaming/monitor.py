"""A watch on streams that sound like speech and give no text: a wrong language prompt does that, and damaged audio.

What counts as loud stands out from the quietest of the last seconds, as speech does with its pauses; steady noise does
not for long.
"""

from dataclasses import dataclass, replace

import numpy as np

from legato.runtime.features import Frames
from legato.streaming.frame_buffer import Values

#: Mean log-mel below which nothing is loud; white noise of -60 dBFS has -13.5.
_LOUD = -12.5
#: How far above the floor loud frames are, in the same unit (about 9 dB).
_ABOVE = 2.0
#: How fast the floor rises in a second; it falls at once.
_RISE = 0.5
#: Seconds of loud audio that one token accounts for, and how many unaccounted ones are suspicious.
_TOKEN_SECONDS = 4.0
LIMIT_SECONDS = 20.0


def levels(mel: Frames) -> Values:
    """Loudness of mel frames float32[n, bins]: float32[n], the mean over the bands."""
    result: Values = mel.mean(axis=1, dtype=np.float32)
    return result


@dataclass(frozen=True, slots=True)
class GuardState:
    """What the watch remembers.

    Attributes:
        floor: level of the background; infinite at the start.
        silent: seconds of loud audio that no token accounts for.
        suspicious: there were too many of them.
    """

    floor: float = float("inf")
    silent: float = 0.0
    suspicious: bool = False

    def hear(self, level: float, tokens: int, seconds: float) -> "GuardState":
        """Go on by one encoder frame of `seconds` with the loudest level in it and the text tokens that it emitted."""
        floor = min(level, self.floor + _RISE * seconds)
        loud = level > max(_LOUD, floor + _ABOVE)
        silent = max(0.0, self.silent + seconds * loud - _TOKEN_SECONDS * tokens)
        return GuardState(floor, silent, self.suspicious or silent >= LIMIT_SECONDS)

    def anew(self) -> "GuardState":
        """Forget the suspicion, as when the language changes."""
        return replace(self, silent=0.0, suspicious=False)
