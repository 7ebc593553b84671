"""The command `legato`: it parses what was asked for, calls the library, and prints the result."""

import sys


def main() -> None:
    """Run the command line; the process ends with its exit code."""
    try:
        from legato.cli.console import prepare_streams, replace_closed_streams
        from legato.cli.interrupt import handle_termination

        replace_closed_streams()
        prepare_streams()
        handle_termination()
        from legato.cli.app import app
    except KeyboardInterrupt as interrupt:
        from legato.cli.interrupt import exit_code

        sys.exit(exit_code(interrupt))
    try:
        app()
    except OSError as error:  # of the help text, which no command prints
        from legato.cli.console import cannot_write, drop_output, say_error

        drop_output()
        say_error(cannot_write("standard output", error))
        sys.exit(2)
