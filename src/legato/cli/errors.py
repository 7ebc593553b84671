"""How commands fail: with a message on standard error and an exit code; an expected error shows no traceback.

Exit codes: 0 done; 2 something could not be done; 3 done, but of some file only a part could be read; 130 interrupted;
141 the reader of the output is gone; 143 terminated.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from legato.cli.console import NO_ROOM, cannot_write, drop_output, prepare_streams, put, say, say_error
from legato.cli.interrupt import exit_code
from legato.errors import LegatoError

FAILED = 2
PARTIAL = 3
_READER_GONE = 141

P = ParamSpec("P")
R = TypeVar("R")


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a function into a command: a LegatoError, an interrupt or a closed pipe ends the process cleanly."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        prepare_streams()
        try:
            result = command(*args, **kwargs)
            put("")
        except LegatoError as error:
            say_error(error)
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt as interrupt:
            say("legato: interrupted")
            raise typer.Exit(exit_code(interrupt)) from None
        except BrokenPipeError:
            drop_output()
            raise typer.Exit(_READER_GONE) from None
        except OSError as error:
            drop_output()
            say_error(_outside(error))
            raise typer.Exit(FAILED) from None
        return result

    return run


def _outside(error: OSError) -> str:
    """Return what the system refused: a folder without permission, a full disk, a connection."""
    if error.errno in NO_ROOM:
        return str(cannot_write(error.filename or "output", error))
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}."
