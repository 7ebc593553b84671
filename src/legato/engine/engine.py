"""The engine: many live streams, one batched step of the encoder and of the search.

A chunk multiplies a few rows by every weight of the model, and reading the weights takes most of the time. One step
over a batch of streams reads them once for all. The price is latency: a chunk that becomes ready while a step is
running waits for its end, and a step over more rows takes longer.

The policy: when the engine is idle, a chunk is computed as soon as it is ready. What becomes ready during a step joins
the next one, at most `max_batch` streams, those that wait longest first. So batches are as small as the load allows,
and grow with it by themselves. `max_wait_ms` holds a chunk back that long for others to join, which saves work where
chunks come a few milliseconds apart; it never waits once every open stream is ready.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self, Unpack

from legato.engine.scheduler import Turns
from legato.engine.slot import Lane
from legato.engine.streams import AsyncEngineStream, EngineStream
from legato.errors import BusyError, EngineError
from legato.recognizer import Options, Recognizer
from legato.runtime.caches import Caches
from legato.streaming.stream import StreamState, advance, ending, feed, samples_for
from legato.types import Event

logger = logging.getLogger("legato")


@dataclass(frozen=True, slots=True)
class Step:
    """A step that the engine has done.

    Attributes:
        rows: streams in its batch.
        frames: encoder frames of each.
        seconds: how long it took.
    """

    rows: int
    frames: int
    seconds: float


class Engine:
    """Recognises many live streams together. Open streams from any thread or coroutine; close it, or use `with`.

    A stream's events are the same as without the engine. Streams cannot harm each other: what is wrong with one is
    told to its caller alone.

        with Engine(legato.load()) as engine:
            with engine.stream(language="de") as stream:  # a thread for each stream
                for samples in microphone:
                    stream.accept(samples)
                    show(stream.poll())
                show(stream.finish())

            async with engine.open_async() as stream:  # or a coroutine for each, here inside a function of asyncio
                await stream.accept(samples)
                stream.end()
                async for event in stream:
                    show([event])

    Args:
        recognizer: the model; others may go on using it.
        max_streams: streams that may be open at a time.
        max_batch: streams that one step computes at most.
        max_wait_ms: milliseconds that a ready chunk may be held back for others to join it.
        max_queued_seconds: seconds of audio that a stream may have waiting, and at least two of its chunks: then its
            caller waits in `accept`. What is waiting takes 64 kB a second, so this bounds the memory too.
        on_step: is called in the engine's thread after every step, for statistics.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        max_streams: int = 64,
        max_batch: int = 16,
        max_wait_ms: float = 0.0,
        max_queued_seconds: float = 30.0,
        on_step: Callable[[Step], None] | None = None,
    ) -> None:
        if max_streams < 1 or max_batch < 1:
            raise ValueError("max_streams and max_batch must be 1 or more")
        if not (0 <= max_wait_ms < float("inf") and 0 < max_queued_seconds < float("inf")):
            raise ValueError("max_wait_ms must be 0 or more, max_queued_seconds more than 0, both finite")
        self.recognizer = recognizer
        self.max_streams = max_streams
        self._max_batch = max_batch
        self._wait = max_wait_ms / 1000
        self._queued_seconds = max_queued_seconds
        self._on_step = on_step
        self._frame_samples = round(recognizer.bundle.frame_seconds * recognizer.sample_rate)
        # The lock guards the lanes and what follows here. It is held for moments only, never during a step.
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._lanes: list[Lane] = []
        self._inbox: dict[Lane, None] = {}
        self._closing = False
        # The rest belongs to the worker.
        self._turns = Turns()
        self._left: list[Lane] = []
        self._worker = threading.Thread(target=self._run, name="legato-engine", daemon=True)
        self._worker.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(cancel=error is not None)

    def stream(self, **options: Unpack[Options]) -> EngineStream:
        """Open a live stream for use from threads.

        Args:
            options: keyword arguments as of `Recognizer.stream`; streams of one batch may differ in all of them.

        Raises:
            BusyError: `max_streams` are open.
            EngineError: the engine is closed.
            LanguageError, ChunkSizeError, PhraseError, NGramError: what the model cannot do.
        """
        state = self.recognizer.start(**options)
        return EngineStream(self, self._admit(state))

    def open_async(self, **options: Unpack[Options]) -> AsyncEngineStream:
        """Open a live stream for use from the running asyncio loop; arguments and errors as for `stream`."""
        state = self.recognizer.start(**options)
        return AsyncEngineStream(self, self._admit(state))

    @property
    def open_streams(self) -> int:
        """Streams that are open now."""
        with self._lock:
            return sum(not lane.closed for lane in self._lanes)

    def close(self, *, cancel: bool = False) -> None:
        """Close the engine, and wait until its thread has ended; harmless when it is closed.

        Open streams are ended where they are: the audio that they have queued is recognised, and their last events can
        still be taken.

        Args:
            cancel: give up the open streams instead; they raise EngineError.
        """
        with self._lock:
            self._closing = True
            for lane in self._lanes:
                if cancel:
                    lane.stop(EngineError("The engine was closed."))
                lane.ended = True
                self._inbox[lane] = None
            self._news.notify_all()
        if threading.current_thread() is not self._worker:
            self._worker.join()

    def tell(self, lane: Lane) -> None:
        """Tell the worker that a lane has new audio, or was ended or closed; the caller holds `lock`."""
        self._inbox[lane] = None
        self._news.notify_all()

    @property
    def lock(self) -> threading.Lock:
        """Guards the lanes; for the streams of this engine."""
        return self._lock

    def _admit(self, state: StreamState) -> Lane:
        seconds = max(self._queued_seconds, 2 * state.encoder.chunk * self.recognizer.bundle.frame_seconds)
        wanted = samples_for(self.recognizer, state.encoder.chunk)
        lane = Lane(state, round(seconds * self.recognizer.sample_rate), wanted, self._lock)
        with self._lock:
            if self._closing:
                raise EngineError("The engine is closed.")
            self._lanes = [known for known in self._lanes if not known.closed]
            if len(self._lanes) >= self.max_streams:
                raise BusyError(f"The engine has {self.max_streams} streams open already, all that it admits.")
            self._lanes.append(lane)
        return lane

    def _run(self) -> None:
        """Work until the engine is closed and every stream is done."""
        try:
            while (arrived := self._arrivals()) is not None:
                for lane in arrived:
                    self._fill(lane)
                batch = self._turns.take(self._max_batch) if self._due_in() == 0 else []
                self._separate(batch)
                if batch:
                    self._step(batch)
        finally:  # in good order no lane is open; if not, nobody must wait for ever
            with self._lock:
                self._closing = True
                for lane in self._lanes:
                    if not lane.closed:
                        lane.stop(EngineError("The engine broke down; its log says why."))

    def _arrivals(self) -> list[Lane] | None:
        """Wait for work: lanes with news, none when it is time for a batch; None when all is done."""
        with self._lock:
            while not self._inbox and (seconds := self._due_in()) != 0:
                if self._closing and all(lane.closed for lane in self._lanes):
                    return None
                self._news.wait(seconds)
            arrived = list(self._inbox)
            self._inbox.clear()
            return arrived

    def _due_in(self) -> float | None:
        """Seconds until the next batch should be computed; None when no chunk is ready."""
        if not self._wait or self._closing:
            return 0.0 if self._turns else None
        fellows = Counter(lane.state.encoder.chunk for lane in list(self._lanes) if not lane.closed)
        return self._turns.due_in(time.monotonic(), self._wait, fellows, self._max_batch)

    def _fill(self, lane: Lane) -> None:
        """Give a stream a turn if it has a chunk ready.

        Its audio goes through the front end only as far as the next chunk, so that a stream that sends much at once
        does not hold up the others.
        """
        if lane in self._turns and not lane.closed:
            return
        state, encoder = lane.state, self.recognizer.encoder
        try:
            while not lane.closed and not encoder.ready(state.encoder):
                if state.encoder.ended:
                    self._deliver(lane, ending(self.recognizer, state))
                    break
                with self._lock:
                    if not lane.is_due:  # small pieces go through the front end together
                        return
                    mark = lane.next_mark()
                    samples, last = lane.next_audio(0 if mark else _chunk(lane) * self._frame_samples)
                if mark:
                    self._deliver(lane, mark(self.recognizer, state))
                    continue
                if not last and not len(samples):
                    return
                feed(self.recognizer, state, samples, last=last)
        except Exception as error:  # whatever it is, the other streams go on
            self._fail(lane, error)
        if lane.closed:
            self._leave(lane)
        else:
            self._turns.add(lane, time.monotonic())

    def _step(self, batch: list[Lane]) -> None:
        """Compute the next chunk of the streams of a batch."""
        # Streams that went together before lie in one block of memory; in its order they need not be copied.
        batch.sort(key=lambda lane: (id(lane.group), lane.state.encoder.caches.row))
        frames = max(min(self.recognizer.encoder.ready(lane.state.encoder), _chunk(lane)) for lane in batch)
        started = time.monotonic()
        results = self._advance(batch, frames)
        step = Step(len(batch), frames, time.monotonic() - started)
        for lane, events in zip(batch, results, strict=True):
            self._deliver(lane, events)
        with self._lock:  # behind whatever became ready during the step
            for lane in batch:
                self._inbox.pop(lane, None)
                self._inbox[lane] = None
        if self._on_step is not None:
            try:
                self._on_step(step)
            except Exception:
                logger.exception("on_step failed")

    def _advance(self, batch: list[Lane], frames: int) -> list[list[Event]]:
        """Advance streams by one step; when it fails, each alone, so that only the one to blame fails."""
        try:
            results = advance(self.recognizer, [lane.state for lane in batch], frames)
        except Exception as error:
            if len(batch) > 1:
                return [self._advance([lane], frames)[0] for lane in batch]
            self._fail(batch[0], error)
            return [[]]
        for lane in batch:
            lane.group = batch
        return results

    def _separate(self, batch: list[Lane]) -> None:
        """Give back memory that streams share with others that went on, or left, without them.

        The caches of streams that were computed together lie in one block. Where some leave it, those that stay behind
        get copies, so that no stream keeps more than its own caches alive.
        """
        going = set(batch)
        groups = {id(lane.group): lane.group for lane in (*batch, *self._left)}
        for lane in self._left:
            lane.group = []
        self._left.clear()
        for group in groups.values():
            behind = [lane for lane in group if lane not in going and not lane.closed]
            if len(behind) == len(group):
                continue
            for lane in behind:
                encoder = lane.state.encoder
                lane.state.encoder = replace(encoder, caches=encoder.caches.alone())
                lane.group = [lane]

    def _deliver(self, lane: Lane, events: list[Event]) -> None:
        done = lane.state.encoder.done
        wanted = samples_for(self.recognizer, done + _chunk(lane))
        with self._lock:
            if not lane.closed:
                lane.deliver(events, min(lane.accepted, done * self._frame_samples), wanted)

    def _fail(self, lane: Lane, error: Exception) -> None:
        logger.error("A stream failed: %s", error, exc_info=error)
        with self._lock:
            failure = EngineError(f"The stream failed: {error}")
            failure.__cause__ = error
            lane.stop(failure)

    def _leave(self, lane: Lane) -> None:
        """Forget a closed stream; whoever still holds it does not hold its caches."""
        if not lane.group:
            return
        self._turns.discard(lane)
        self._left.append(lane)
        encoder = lane.state.encoder
        lane.state.encoder = replace(encoder, mel=encoder.mel[:0], caches=Caches(()))


def _chunk(lane: Lane) -> int:
    return lane.state.encoder.chunk
