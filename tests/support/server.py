"""`legato serve` in a process of its own, on a free port, with the embedded model."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

from tests.support.command import environment

#: Longest wait for what a server does at once, on a busy machine too.
_SECONDS = 300


class Server:
    """A running server; use it with `with`, which ends it with SIGTERM.

    Attributes:
        url: its address, as http://127.0.0.1:PORT.
        port: the port.
        wyoming_port: the one for Wyoming; 0 without.
        process: the process.
        lines: what it said on standard error so far.
    """

    def __init__(self, home: Path, *options: str | float, **more: str) -> None:
        """Start it and wait until it answers.

        Args:
            home: for its cache.
            options: of the command line.
            more: further environment variables.
        """
        command = [sys.executable, "-m", "legato", "serve", "--model", "embedded", "--port", "0", "--threads", "1"]
        # Measured, the number of streams depends on what else runs here, and so does how late they are.
        command += ["--max-streams", "32", "--max-lag-seconds", "inf"]
        self.process = subprocess.Popen(
            [*command, *map(str, options)],
            env=environment(home, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        said = self.process.stdout.readline()
        found = re.fullmatch(r"Legato serves (http://(\S*):(\d+))(?: and tcp://\S*:(\d+))?\n", said)
        if found is None:
            self.process.wait(_SECONDS)
            self._reader.join(_SECONDS)
            raise AssertionError(f"the server did not start: {said!r}\n" + "\n".join(self.lines))
        self.url = found[1]
        self.port = int(found[3])
        self.wyoming_port = int(found[4] or 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def socket_url(self) -> str:
        """Its address for WebSockets."""
        return self.url.replace("http", "ws", 1)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end: the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(_SECONDS)
        self._reader.join(_SECONDS)
        return code

    def logs(self, message: str | None = None) -> list[dict[str, Any]]:
        """What it logged so far, all or the records with that message; see `wait_for_logs`."""
        found = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [each for each in found if message is None or each["message"] == message]

    def wait_for_logs(self, message: str, *texts: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many records with that message and all the texts: what a client received was logged before,
        but is read here a moment later."""
        deadline = time.monotonic() + _SECONDS
        while True:
            found = [each for each in self.logs(message) if all(text in str(each) for text in texts)]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, "\n".join(self.lines)
            time.sleep(0.02)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
