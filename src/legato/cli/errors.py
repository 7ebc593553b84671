"""How commands fail: a message on standard error and an exit code, never a traceback for what we foresaw.

Exit codes: 0 done, 2 something of what was asked could not be done, 130 interrupted.
"""

import functools
import logging
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from legato.cli.writing import NO_ROOM, cannot_write, give_up_output, put
from legato.errors import LegatoError

FAILED = 2
INTERRUPTED = 130
_READER_GONE = 141

P = ParamSpec("P")
R = TypeVar("R")


def say(message: str) -> None:
    """Print a line for the user on standard error, away from the result."""
    print(message, file=sys.stderr, flush=True)


def say_error(error: Exception | str) -> None:
    """Print why something could not be done."""
    say(f"legato: {error}")


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Make a function a command: its LegatoErrors, Ctrl-C and a closed pipe end the process in good order."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        _prepare_streams()
        try:
            result = command(*args, **kwargs)
            put("")
        except LegatoError as error:
            say_error(error)
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            say("legato: interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            give_up_output()
            raise typer.Exit(_READER_GONE) from None
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            give_up_output()
            say_error(cannot_write(error.filename or "output", error))
            raise typer.Exit(FAILED) from None
        return result

    return run


def _prepare_streams() -> None:
    """Text in any script can be printed, and the library's warnings reach the user."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and not stream.isatty():
            reconfigure(encoding="utf-8", errors="replace")
    logger = logging.getLogger("legato")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("legato: %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
