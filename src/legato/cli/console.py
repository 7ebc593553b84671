"""The standard streams: results on standard output, messages on standard error."""

import contextlib
import errno
import io
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from legato.cli.visible import shown
from legato.errors import OutputError
from legato.files import IrregularFileError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def say(message: str) -> None:
    """Print a line for the user on standard error, apart from the result."""
    print(message, file=sys.stderr, flush=True)


def say_error(error: Exception | str) -> None:
    """Print why something could not be done."""
    say(f"legato: {error}")


def say_warnings(name: str, warnings: Iterable[str]) -> None:
    """Print what is wrong with a source that could be read."""
    for warning in warnings:
        say_error(f"{name}: {warning.removesuffix('.')}.")


def put(text: str) -> None:
    """Print a part of the result on standard output, unbuffered.

    Raises:
        OutputError: there is no room. Later output is dropped, so that the error is reported once.
        BrokenPipeError: the reader closed the pipe.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise cannot_write("standard output", error) from None


def drop_output() -> None:
    """Redirect standard output to nowhere: Python would try to write its buffer once more at the exit, and fail."""
    with contextlib.suppress(OSError, ValueError):  # it is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def cannot_write(path: Path | str, error: OSError) -> OutputError:
    """Return the error for a file or folder that cannot be written."""
    if isinstance(error, IrregularFileError):
        remedy = "Choose another place, or remove it if it should not be there."
    else:
        remedy = "Choose a place with room and write permission."
    return OutputError(
        f"{path}: cannot be written: {error.strerror}. {remedy}",
        no_room=error.errno in NO_ROOM,
    )


class _Closed(io.TextIOBase):
    """Stands for a standard stream that was closed before the process started; writing to it raises an OSError."""

    def write(self, text: str, /) -> int:
        """Refuse text."""
        if text:
            raise OSError(errno.EBADF, "it is closed")
        return 0


def replace_closed_streams() -> None:
    """Let a closed standard output refuse text, and a closed standard error drop it.

    Their numbers are taken by the null device: a file that gets one of them would receive the output of libraries.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while os.open(os.devnull, os.O_RDWR) < 2:
            pass
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - until the process ends


def prepare_streams() -> None:
    """Make both streams print text in any script without commands to a terminal, and show the library's warnings."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal has an encoding of its own; what it lacks is shown as a question mark.
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    sys.stderr = shown(sys.stderr)
    if sys.stdout.isatty():
        sys.stdout = shown(sys.stdout)
    logger = logging.getLogger("legato")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("legato: %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
