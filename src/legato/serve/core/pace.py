"""The pace at which a client's messages are served: who sends faster waits, and the others do not."""

import asyncio
import time

#: Messages are held back for at least this long, because timers cost time too.
_SHORTEST_SECONDS = 0.02


class Pace:
    """A number of messages per second on the long run, and more in a burst (a token bucket).

    Args:
        burst: messages that may come at once.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = self._left = burst
        self._at = time.monotonic()

    async def keep(self) -> None:
        """Count a message; wait if it came too early. What the client sends meanwhile is not read."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - 1
        self._at = now
        if (wait := -self._left / self._rate) > _SHORTEST_SECONDS:
            await asyncio.sleep(wait)
