"""Ctrl-C, SIGTERM and SIGHUP: the input ends, and everything recognized up to then is still written."""

import io
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import BinaryIO, Self, TypeVar, cast

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


class _WaitEnded(Exception):  # noqa: N818 - no error
    """An interrupt came during a wait for input.

    PyAV passes on an `Exception` that comes while FFmpeg reads a Python file, and discards a `KeyboardInterrupt`.
    """


class Interruptible(OnInterrupt):
    """Input that an interrupt ends between two blocks, so that no block is lost or half recognized."""

    def __init__(self) -> None:
        super().__init__(self._end_wait)
        self._waiting = False

    def blocks(self, source: Iterable[T]) -> Iterator[T]:
        """Yield the blocks of a source until it ends or an interrupt comes."""
        pieces = iter(source)
        while (block := self._wait(lambda: next(pieces, None))) is not None:
            yield block

    def pipe(self, file: BinaryIO) -> BinaryIO:
        """Return a pipe that ends at an interrupt, so that a decoder still returns what it has read."""
        return cast("BinaryIO", _Pipe(file, self._wait))

    def _wait(self, read: Callable[[], T]) -> T | None:
        """Return what a function returns that may wait for input; None if an interrupt comes or has come."""
        try:
            self._waiting = True  # before the question, so that an interrupt between the two ends the wait
            return read() if self.cause is None else None
        except _WaitEnded:
            return None
        finally:
            self._waiting = False

    def _end_wait(self) -> None:
        if self._waiting:
            self._waiting = False
            raise _WaitEnded


class _Pipe(io.RawIOBase):
    """The bytes of a pipe, as they arrive."""

    def __init__(self, file: BinaryIO, wait: Callable[[Callable[[], bytes]], bytes | None]) -> None:
        super().__init__()
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)
        self._wait = wait

    def read(self, size: int = -1, /) -> bytes:
        return self._wait(lambda: self._read(size)) or b""
