"""Ctrl-C, SIGTERM and SIGHUP: the input ends, and everything recognized up to then is still written."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Self, TypeVar

T = TypeVar("T")

if sys.platform == "win32":
    _TERMINATIONS: tuple[signal.Signals, ...] = (signal.SIGTERM,)
else:
    _TERMINATIONS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """A signal asked the process to end. It is treated like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Return the exit code that tells which signal ended a process: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (interrupt.number if isinstance(interrupt, Terminated) else signal.SIGINT)


def handle_termination() -> None:
    """Let SIGTERM and SIGHUP raise `Terminated`, so that a terminated command cleans up like an interrupted one.

    A signal that is ignored, as SIGHUP under `nohup`, stays ignored.
    """
    for number in _TERMINATIONS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)


class OnInterrupt:
    """Call a function at the first Ctrl-C, SIGTERM or SIGHUP. A second one raises `KeyboardInterrupt`.

    Args:
        stop: runs as a signal handler.

    Attributes:
        cause: the first signal as an exception; None if there was none.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.cause: KeyboardInterrupt | None = None
        self._stop = stop

    def __enter__(self) -> Self:
        numbers = [signal.SIGINT, *(each for each in _TERMINATIONS if signal.getsignal(each) is not signal.SIG_IGN)]
        self._before = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        interrupt = KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
        if self.cause is not None:
            raise interrupt
        self.cause = interrupt
        self._stop()


class Interruptible(OnInterrupt):
    """Input that an interrupt ends between two blocks, so that no block is lost or half recognized."""

    def __init__(self) -> None:
        super().__init__(self._end_wait)
        self._waiting = False

    def blocks(self, source: Iterable[T]) -> Iterator[T]:
        """Yield the blocks of a source until it ends or an interrupt comes."""
        pieces = iter(source)
        while self.cause is None:
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

    def _end_wait(self) -> None:
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt
