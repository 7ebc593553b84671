"""The command `legato`: thin; it parses, calls the library and prints."""

import sys


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    try:
        from legato.cli.app import app
    except KeyboardInterrupt:
        sys.exit(130)
    app()
