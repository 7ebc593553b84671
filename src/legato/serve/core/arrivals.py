"""The times at which the audio of a stream arrived, for measurements of latency."""

import time
from collections import deque

from legato.audio.source import SAMPLE_RATE


class Arrivals:
    """Remembers when audio arrived that has not been recognized yet."""

    def __init__(self) -> None:
        self._samples = 0
        self._times: deque[tuple[int, float]] = deque()

    @property
    def seconds(self) -> float:
        """Seconds of audio that have arrived."""
        return self._samples / SAMPLE_RATE

    def add(self, samples: int) -> None:
        """Note that this many samples have just arrived."""
        self._samples += samples
        self._times.append((self._samples, time.monotonic()))

    def age(self, seconds: float) -> float | None:
        """Return how many seconds ago the audio up to a position in the stream, in seconds, had arrived.

        Positions must not decrease from call to call. None before the first arrival.
        """
        needed = round(seconds * SAMPLE_RATE)
        while len(self._times) > 1 and self._times[0][0] < needed:
            self._times.popleft()
        return time.monotonic() - self._times[0][1] if self._times else None
