"""Whose chunk is computed next: streams with a chunk ready, in the order in which they became ready."""

from legato.engine.slot import Slot


class Scheduler:
    """The streams that have a chunk ready. A batch takes one chunk of each, so no stream is served twice in a row.

    A batch contains the stream that has waited longest and those after it with the same chunk size, because one step
    computes the same number of frames for all rows. Streams of another size keep their places, and the first of them is
    next.
    """

    def __init__(self) -> None:
        self._waiting: dict[Slot, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, slot: Slot) -> bool:
        return slot in self._waiting

    @property
    def oldest(self) -> float:
        """The time at which the chunk became ready that has waited longest, and is in the next batch."""
        return next(iter(self._waiting.values()))

    def add(self, slot: Slot, now: float) -> None:
        """Append a stream to the queue; `now` is the time in seconds."""
        self._waiting[slot] = now

    def discard(self, slot: Slot) -> None:
        """Remove a stream, if it is in the queue."""
        self._waiting.pop(slot, None)

    def due_in(self, now: float, wait: float, open_streams: dict[int, int], max_batch: int) -> float | None:
        """Return the seconds until the next batch should be computed; None if no chunk is ready.

        Args:
            now: the time in seconds.
            wait: seconds that the oldest chunk may be held back for others to join it.
            open_streams: number of open streams by chunk size; when all of them are ready, there is no wait.
            max_batch: rows of a full batch.
        """
        if not self._waiting:
            return None
        chunk, since = next((slot.chunk, since) for slot, since in self._waiting.items())
        ready = sum(slot.chunk == chunk for slot in self._waiting)
        if ready >= min(max_batch, open_streams.get(chunk, 0)):
            return 0.0
        return max(0.0, since + wait - now)

    def take(self, max_batch: int) -> list[Slot]:
        """Remove and return the streams of the next batch; none if no chunk is ready."""
        chunk = next((slot.chunk for slot in self._waiting), None)
        batch = [slot for slot in self._waiting if slot.chunk == chunk][:max_batch]
        for slot in batch:
            del self._waiting[slot]
        return batch
