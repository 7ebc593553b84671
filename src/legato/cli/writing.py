"""Standard output, and what is said when there is no room for a result."""

import errno
import os
import sys
from pathlib import Path

from legato.errors import OutputError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def put(text: str) -> None:
    """Print on standard output at once.

    Raises:
        OutputError: there is no room. What is printed later goes nowhere, so that this is told once.
        BrokenPipeError: whoever read it has enough.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up_output()
        raise cannot_write("standard output", error) from None


def give_up_output() -> None:
    """Let standard output lead nowhere: Python still holds text, and would try, and complain, once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def cannot_write(path: Path | str, error: OSError) -> OutputError:
    """Say that a file or folder cannot be written, and why."""
    return OutputError(
        f"{path}: cannot be written: {error.strerror}. Give a place with room and permission.",
        no_room=error.errno in NO_ROOM,
    )
