"""The worker's part of a stream: its state, and the block of memory that its caches share with other streams."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from legato.engine.mailbox import Mailbox
from legato.runtime.caches import Caches
from legato.streaming.state import StreamState


class Slot:
    """A stream as the worker holds it; no other thread may touch it.

    Attributes:
        state: the stream's state.
        mailbox: the part that is shared with callers.
        group: the streams that its caches share memory with; None after the stream has left.
    """

    def __init__(self, state: StreamState, mailbox: Mailbox) -> None:
        self.state = state
        self.mailbox = mailbox
        self.group: BatchGroup | None = BatchGroup([self])

    @property
    def chunk(self) -> int:
        """Encoder frames per chunk."""
        return self.state.audio.encoder.chunk

    @property
    def row(self) -> int:
        """Row of the caches in the block of memory that holds them."""
        return self.state.audio.encoder.caches.row

    def isolate(self) -> None:
        """Copy the caches to memory that no other stream shares."""
        self._set_caches(self.state.audio.encoder.caches.alone())
        self.group = BatchGroup([self])

    def release(self) -> None:
        """Drop the mel frames and caches of a closed stream: whoever still holds the stream does not hold them."""
        encoder = self.state.audio.encoder
        self.state.audio = replace(self.state.audio, encoder=replace(encoder, mel=encoder.mel[:0]))
        self._set_caches(Caches(()))

    def _set_caches(self, caches: Caches) -> None:
        audio = self.state.audio
        self.state.audio = replace(audio, encoder=replace(audio.encoder, caches=caches))


class BatchGroup:
    """Streams whose caches lie in one block of memory, because the same step computed them.

    As long as they go on together, nothing is copied. When some continue or leave without the others, the others get
    copies, so that no stream keeps more than its own caches alive.
    """

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = tuple(slots)

    @classmethod
    def join(cls, slots: Sequence[Slot]) -> None:
        """Make one group of the streams of a step."""
        group = cls(slots)
        for slot in slots:
            slot.group = group

    @staticmethod
    def separate(batch: Sequence[Slot], departed: Iterable[Slot]) -> None:
        """Separate the streams that are about to be computed, and those that have left, from those that stay."""
        departed = list(departed)
        going = set(batch)
        groups = {id(slot.group): slot.group for slot in (*batch, *departed) if slot.group is not None}
        for slot in departed:
            slot.group = None
        for group in groups.values():
            staying = [slot for slot in group._slots if slot not in going and not slot.mailbox.closed]
            if len(staying) < len(group._slots):
                for slot in staying:
                    slot.isolate()
