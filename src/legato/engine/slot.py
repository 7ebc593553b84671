"""A stream's place in the engine: the audio that waits, the events that wait, and who is told about changes."""

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from legato.errors import EngineError
from legato.runtime.features import Samples
from legato.streaming.stream import StreamState
from legato.types import Event, Final

if TYPE_CHECKING:
    from legato.recognizer import Recognizer

#: What is to be done with a stream between two samples, as `Recognizer` and state; returns the events of it.
Mark = Callable[["Recognizer", StreamState], list[Event]]


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
        self._pieces: deque[Samples | Mark] = deque()
        self._marks = 0
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

    def put(self, mark: Mark) -> None:
        """Queue what is to be done once all the audio that is queued now is recognised as far as it can be."""
        self.raise_error()
        if self.ended:
            raise EngineError("The stream is finished. Open a new one with engine.stream().")
        self._pieces.append(mark)
        self._marks += 1

    def next_mark(self) -> Mark | None:
        """Take the mark that is next in the queue, if no audio comes before it."""
        if not self._pieces or isinstance(piece := self._pieces[0], np.ndarray):
            return None
        self._pieces.popleft()
        self._marks -= 1
        return piece

    def next_audio(self, count: int) -> tuple[Samples, bool]:
        """Take at most `count` queued samples before the next mark; the flag says that they are the stream's last."""
        taken: list[Samples] = []
        while self._pieces and count and isinstance(piece := self._pieces[0], np.ndarray):
            self._pieces.popleft()
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
        return self.ended or self.closed or self._marks > 0 or self.accepted >= self.wanted

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
        self._marks = 0
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
