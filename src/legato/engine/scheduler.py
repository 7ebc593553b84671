"""Whose chunk is computed next: streams with a chunk ready, in the order in which they became so."""

from legato.engine.slot import Lane


class Turns:
    """The streams that have a chunk ready. A batch takes one chunk of each, so that no stream gets two turns in a row.

    A batch is made of the stream that waits longest, and of those behind it with the same chunk size: one step computes
    the same number of frames for all rows. Streams of another size keep their places, and the first of them is next.
    """

    def __init__(self) -> None:
        self._waiting: dict[Lane, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._waiting

    def add(self, lane: Lane, now: float) -> None:
        """Put a stream at the end of the queue; `now` is the time in seconds."""
        self._waiting[lane] = now

    def discard(self, lane: Lane) -> None:
        """Forget a stream, if it is in the queue."""
        self._waiting.pop(lane, None)

    def due_in(self, now: float, wait: float, fellows: dict[int, int], max_batch: int) -> float | None:
        """Seconds until the next batch should be computed; None when no chunk is ready.

        Args:
            now: the time in seconds.
            wait: seconds that the oldest chunk may be held back for others to join it.
            fellows: open streams by chunk size: when all of them are ready, nobody is waited for.
            max_batch: rows of a full batch.
        """
        if not self._waiting:
            return None
        chunk, since = next((_chunk(lane), since) for lane, since in self._waiting.items())
        ready = sum(_chunk(lane) == chunk for lane in self._waiting)
        if ready >= min(max_batch, fellows.get(chunk, 0)):
            return 0.0
        return max(0.0, since + wait - now)

    def take(self, max_batch: int) -> list[Lane]:
        """Take the streams of the next batch out of the queue; none when no chunk is ready."""
        chunk = next((_chunk(lane) for lane in self._waiting), None)
        batch = [lane for lane in self._waiting if _chunk(lane) == chunk][:max_batch]
        for lane in batch:
            del self._waiting[lane]
        return batch


def _chunk(lane: Lane) -> int:
    return lane.state.encoder.chunk
