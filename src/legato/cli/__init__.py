"""The command `legato`: thin; it parses, calls the library and prints."""

import signal
import sys


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    # So that a terminated command cleans up behind itself as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        from legato.cli.app import app
    except KeyboardInterrupt:
        sys.exit(130)
    app()
