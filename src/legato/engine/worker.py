"""The thread of an engine: it takes what arrives, and computes batch after batch."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from legato.engine.registry import Registry
from legato.engine.scheduler import Scheduler
from legato.engine.slot import BatchGroup, Slot
from legato.errors import EngineError
from legato.streaming.controls import Commit
from legato.streaming.pipeline import Pipeline
from legato.types import Event

logger = logging.getLogger("legato")


@dataclass(frozen=True, slots=True)
class Step:
    """A step that the engine has computed.

    Attributes:
        rows: streams in its batch.
        frames: encoder frames of each.
        seconds: its duration.
        late: seconds from when the oldest of its chunks was ready to its end.
    """

    rows: int
    frames: int
    seconds: float
    late: float = 0.0


class Worker(threading.Thread):
    """Computes the chunks of the streams in a registry until the engine is closed and every stream is done.

    Args:
        registry: the streams.
        pipeline: the model.
        max_batch: largest number of streams per step.
        max_wait: seconds that a ready chunk may be held back for others to join it.
        on_step: called after every step.
    """

    def __init__(
        self,
        registry: Registry,
        pipeline: Pipeline,
        *,
        max_batch: int,
        max_wait: float,
        on_step: Callable[[Step], None] | None,
    ) -> None:
        super().__init__(name="legato-engine", daemon=True)
        self._registry = registry
        self._pipeline = pipeline
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._on_step = on_step
        self._frame_samples = round(pipeline.bundle.frame_seconds * pipeline.bundle.mel.sample_rate)
        self._scheduler = Scheduler()
        self._departed: list[Slot] = []

    def run(self) -> None:
        """Compute batches until the engine is closed and every stream is done."""
        try:
            while (arrived := self._registry.wait(self._due_in)) is not None:
                for slot in arrived:
                    self._prepare(slot)
                ready_since, batch = 0.0, list[Slot]()
                if self._due_in() == 0:
                    ready_since, batch = self._scheduler.oldest, self._scheduler.take(self._max_batch)
                BatchGroup.separate(batch, self._departed)
                self._departed.clear()
                if batch:
                    self._compute(batch, ready_since)
        finally:
            self._registry.abandon()

    def _due_in(self) -> float | None:
        """Return the seconds until the next batch should be computed; None if no chunk is ready."""
        if not self._max_wait or self._registry.closing:
            return 0.0 if self._scheduler else None
        open_streams = self._registry.open_by_chunk()
        return self._scheduler.due_in(time.monotonic(), self._max_wait, open_streams, self._max_batch)

    def _prepare(self, slot: Slot) -> None:
        """Schedule a stream if it has a chunk ready.

        Its audio goes through the front end only as far as the next chunk, so that a stream that sends much at once
        does not delay the others.
        """
        if slot in self._scheduler and not slot.mailbox.closed:
            return
        try:
            if not self._advance(slot):
                return
        except Exception as error:  # whatever it is, the other streams continue
            self._fail(slot, error)
        if slot.mailbox.closed:
            self._leave(slot)
        else:
            self._scheduler.add(slot, time.monotonic())

    def _advance(self, slot: Slot) -> bool:
        """Process a stream's queue until it has a chunk ready or is closed; return False if it has to wait for more."""
        pipeline, state, mailbox = self._pipeline, slot.state, slot.mailbox
        while not mailbox.closed and not pipeline.encoder.ready(state.audio.encoder):
            if state.audio.encoder.ended:
                self._deliver(slot, pipeline.conclude(state))
                return True
            with self._registry.lock:
                if not mailbox.is_due:  # wait: small pieces are processed together
                    return False
                control = mailbox.next_control()
                samples, last = mailbox.next_audio(0 if control else slot.chunk * self._frame_samples)
            if control:
                self._deliver(slot, pipeline.apply(state, control))
                if isinstance(control, Commit):  # it costs as much as a chunk, and the others have their turn
                    self._registry.requeue([slot])
                    return mailbox.closed
            elif last or len(samples):
                pipeline.feed(state, samples, last=last)
            else:
                return False
        return True

    def _compute(self, batch: list[Slot], ready_since: float) -> None:
        """Compute the next chunk of the streams of a batch, the oldest of which was ready at a time."""
        # Streams that were computed together share a block of memory; in its order their caches need no copy.
        batch.sort(key=lambda slot: (id(slot.group), slot.row))
        frames = max(self._pipeline.ready(slot.state) for slot in batch)
        started = time.monotonic()
        results = self._step(batch, frames)
        now = time.monotonic()
        step = Step(len(batch), frames, now - started, now - ready_since)
        for slot, events in zip(batch, results, strict=True):
            self._deliver(slot, events)
        self._registry.requeue(batch)  # after whatever became ready during the step
        if self._on_step is not None:
            try:
                self._on_step(step)
            except Exception:
                logger.exception("on_step failed")

    def _step(self, batch: list[Slot], frames: int) -> list[list[Event]]:
        """Compute one step; if it fails, compute each stream alone, so that only the one that causes it fails."""
        try:
            results = self._pipeline.step([slot.state for slot in batch], frames)
        except Exception as error:
            if len(batch) > 1:
                return [self._step([slot], frames)[0] for slot in batch]
            self._fail(batch[0], error)
            return [[]]
        BatchGroup.join(batch)
        return results

    def _deliver(self, slot: Slot, events: list[Event]) -> None:
        frames = slot.state.audio.encoder.done
        wanted = self._pipeline.samples_for(frames + slot.chunk)
        mailbox = slot.mailbox
        with self._registry.lock:
            if not mailbox.closed:
                mailbox.deliver(events, min(mailbox.accepted, frames * self._frame_samples), wanted)

    def _fail(self, slot: Slot, error: Exception) -> None:
        logger.error("A stream failed: %s", error, exc_info=error)
        with self._registry.lock:
            failure = EngineError(f"The stream failed: {error}")
            failure.__cause__ = error
            slot.mailbox.stop(failure)

    def _leave(self, slot: Slot) -> None:
        """Remove a closed stream."""
        if slot.group is None:
            return
        self._scheduler.discard(slot)
        self._departed.append(slot)
        slot.release()
