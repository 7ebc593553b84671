"""What every source of audio has in common: blocks of samples, and what was wrong with them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Self

import numpy as np

from legato.audio.resample import SAMPLE_RATE
from legato.types import Samples

_BLOCK_SECONDS = 10


class AudioBlocks(ABC):
    """Audio as blocks of float32[n], mono, 16 kHz. Iterate once; use `with` to close it.

    Attributes:
        name: the path or address, or another name for messages.
        duration: seconds that the source states; None where it states none.
        channels: number of channels.
        warnings: one text for each fault of the source, and for each choice that was made for the caller. Complete
            after the iteration.
        complete: whether all audio of the source could be read. Known after the iteration.
        changed: whether a file was altered while it was read. Known after the iteration.
        block_seconds: length of the blocks; may be set before the iteration.
    """

    name: str
    duration: float | None
    channels: int
    warnings: list[str]
    complete: bool
    changed: bool
    block_seconds: float

    def __init__(self, name: str) -> None:
        self.name = name
        self.duration = None
        self.channels = 1
        self.warnings = []
        self.complete = True
        self.changed = False
        self.block_seconds = _BLOCK_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the source. Closing it again does nothing."""

    @abstractmethod
    def __iter__(self) -> Iterator[Samples]:
        """Yield the audio; AudioError says why it cannot be read."""


def of_equal_length(pieces: Iterable[Samples], seconds: float) -> Iterator[Samples]:
    """Join pieces of any length to blocks of this many seconds; only the last may be shorter."""
    block = np.empty(max(1, round(seconds * SAMPLE_RATE)), np.float32)
    filled = 0
    for piece in pieces:
        start = 0
        while start < len(piece):
            taken = min(len(block) - filled, len(piece) - start)
            block[filled : filled + taken] = piece[start : start + taken]
            filled += taken
            start += taken
            if filled == len(block):
                yield block.copy()
                filled = 0
    if filled:
        yield block[:filled].copy()
