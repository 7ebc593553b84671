"""A stream's place in the engine: the audio that waits, the events that wait, and who is told about changes."""

import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from legato.errors import EngineError
from legato.features import Samples
from legato.stream import StreamState
from legato.transcript import Event, Final


class Lane:
    """What callers and the engine's worker share of one stream. All but `state` and `group` needs the engine's lock.

    Attributes:
        state: the stream's state; only the worker touches it.
        group: the streams whose caches lie in the same memory as this one's, itself included; empty once it has left.
            The worker's as well.
        changed: is notified when there is room, an event or an error.
        listener: is called at the same times, from the worker's thread.
        limit: samples that may wait.
        accepted, done: samples that came, and samples that are recognised.
        wanted: samples that must have come before the next chunk can be ready.
        ended: no more audio will come.
        error: why the stream cannot go on.
        closed: the stream holds no place any more: its `Final` is there, or it failed, or its caller closed it.
    """

    def __init__(self, state: StreamState, limit: int, wanted: int, lock: threading.Lock) -> None:
        self.state = state
        self.group: list[Lane] = [self]
        self.changed = threading.Condition(lock)
        self.listener: Callable[[], None] | None = None
        self.limit = limit
        self.accepted = self.done = 0
        self.wanted = wanted
        self.ended = self.closed = False
        self.error: EngineError | None = None
        self._pieces: deque[Samples] = deque()
        self._events: deque[Event] = deque()

    def offer(self, samples: Samples) -> int:
        """Queue as much as there is room for: number of samples taken from the start."""
        self.raise_error()
        if self.ended:
            raise EngineError("The stream is finished. Open a new one with engine.stream().")
        room = min(len(samples), self.limit - (self.accepted - self.done))
        if room > 0:
            # A copy: callers fill one buffer again and again.
            self._pieces.append(samples[:room].copy())
            self.accepted += room
        return max(room, 0)

    def next_audio(self, count: int) -> tuple[Samples, bool]:
        """Take at most `count` queued samples; the flag says that they are the last of the stream."""
        taken: list[Samples] = []
        while self._pieces and count:
            piece = self._pieces.popleft()
            if len(piece) > count:
                self._pieces.appendleft(piece[count:])
                piece = piece[:count]
            taken.append(piece)
            count -= len(piece)
        samples = np.concatenate(taken) if taken else np.zeros(0, np.float32)
        return samples, self.ended and not self._pieces

    @property
    def is_due(self) -> bool:
        """Whether the worker should look at what is queued."""
        return self.ended or self.closed or self.accepted >= self.wanted

    def deliver(self, events: list[Event], done: int, wanted: int) -> None:
        """Hand over events, and note how many samples are done and wanted."""
        self._events.extend(events)
        self.done, self.wanted = done, wanted
        if events and isinstance(events[-1], Final):
            self.closed = True
        self.tell()

    def stop(self, error: EngineError | None) -> None:
        """Give up the stream; what it still queues is dropped. Events that are there can still be taken."""
        self.closed = self.ended = True
        self.error = self.error or error
        self._pieces.clear()
        self.tell()

    def take(self) -> list[Event]:
        """Take the events that wait; raises the stream's error once there are none."""
        events = list(self._events)
        self._events.clear()
        if not events:
            self.raise_error()
        return events

    def take_one(self) -> Event | None:
        """Take the oldest event, if there is one."""
        if self._events:
            return self._events.popleft()
        self.raise_error()
        return None

    def raise_error(self) -> None:
        """Raise the stream's error, if it has one."""
        if self.error is not None:
            raise self.error

    def tell(self) -> None:
        """Wake whoever waits for this stream."""
        self.changed.notify_all()
        if self.listener is not None:
            self.listener()
