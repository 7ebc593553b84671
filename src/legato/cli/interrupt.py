"""Ctrl-C that ends the input, not the work: what was heard until then is still recognised and written."""

import signal
from collections.abc import Iterable, Iterator
from types import FrameType

from legato.audio.source import Samples


class Interruptible:
    """Input that Ctrl-C ends between two blocks: never in the middle of the recogniser's work. Twice ends at once.

    Attributes:
        interrupted: Ctrl-C came.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._waiting = False

    def __enter__(self) -> "Interruptible":
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def blocks(self, source: Iterable[Samples]) -> Iterator[Samples]:
        """Give the blocks of a source until its end or Ctrl-C."""
        pieces = iter(source)
        while not self.interrupted:
            try:
                self._waiting = True
                block = next(pieces, None)
                self._waiting = False
            except KeyboardInterrupt:
                return
            finally:
                self._waiting = False
            if block is None:
                return
            yield block

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self.interrupted:  # asked twice: at once
            raise KeyboardInterrupt
        self.interrupted = True
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt
