"""How late the engine is, measured in its steps, to refuse new streams before those that run come late."""

import time
from collections import deque

from legato.chunks import FRAME_MS
from legato.engine.worker import Step

_WINDOW_SECONDS = 3.0
#: The step that is as late as nine of ten decides: one slow step does not.
_RANK = 0.9
#: Steps below which nothing is known.
_FEWEST = 5


class Lateness:
    """The lateness of the last seconds' steps, each as a share of the duration of its chunk.

    A chunk that is ready waits for the step that runs and for those before it. At a share of 1 the next chunks are
    ready before these are done, and all streams are late for good.
    """

    def __init__(self) -> None:
        self._steps: deque[tuple[float, float]] = deque(maxlen=10_000)

    def on_step(self, step: Step) -> None:
        """Record a step, in the engine's thread."""
        self._steps.append((time.monotonic(), step.late / (max(1, step.frames) * FRAME_MS / 1000)))

    @property
    def share(self) -> float:
        """The share that nine of ten steps kept to; 0 with few steps."""
        oldest = time.monotonic() - _WINDOW_SECONDS
        recent = sorted(share for at, share in list(self._steps) if at >= oldest)
        return recent[int(_RANK * len(recent))] if len(recent) >= _FEWEST else 0.0
