"""The command `legato` in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

#: Seconds after which a command hangs: far more than any needs, on a busy machine too.
TIMEOUT = 300

#: `legato` to which something happens in the middle of a file: no clock decides how far it came.
_STRUCK = """
import os, signal, sys
from legato.audio.source import AudioFile
what, name, number = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))
# A job in the background inherits that SIGINT is ignored, one under nohup that SIGHUP is.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
blocks = AudioFile.__iter__
def counted(self):
    for count, block in enumerate(blocks(self), 1):
        if count == number and self.name.endswith(name):
            exec(what)
        yield block
AudioFile.__iter__ = counted
from legato.cli import main
main()
"""

#: `legato` that gets SIGINT when it has read so many bytes of standard input and waits for more.
_STALLED = """
import io, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
left = int(sys.argv.pop(1))
class Stalled(io.FileIO):
    def readinto(self, buffer):
        global left
        if left == 0:
            left = -1
            os.kill(os.getpid(), signal.SIGINT)
        count = super().readinto(buffer)
        left -= count
        return count
sys.stdin = io.TextIOWrapper(io.BufferedReader(Stalled(0)))
from legato.cli import main
main()
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user with an empty cache."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "LEGATO_"))}
    return {
        **kept,
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "LEGATO_HOME": str(home / "legato"),
        "COLUMNS": "200",
        **more,
    }


def legato(
    *arguments: str | Path, home: Path, stdin: bytes = b"", cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `legato` to its end; keyword arguments are further environment variables."""
    return subprocess.run(
        [sys.executable, "-m", "legato", *map(str, arguments)],
        env=environment(home, **more),
        capture_output=True,
        check=False,
        input=stdin,
        cwd=cwd,
        timeout=TIMEOUT,
    )


def struck(what: str, name: str, block: int, *arguments: str | Path, home: Path) -> subprocess.CompletedProcess[bytes]:
    """Run `legato`; when it has read so many blocks of the file whose path ends with `name`, `what` happens.

    That is a signal, or a Python statement that may use `self.name`, the file.
    """
    statement = f"os.kill(os.getpid(), signal.{what})" if what.startswith("SIG") else what
    command = [sys.executable, "-c", _STRUCK, statement, name, str(block), *map(str, arguments)]
    return subprocess.run(command, env=environment(home), capture_output=True, check=False, timeout=TIMEOUT)


def stalled(data: bytes, *arguments: str | Path, home: Path) -> subprocess.CompletedProcess[bytes]:
    """Run `legato` with a pipe that delivers `data` and stays open; one SIGINT comes while it waits for more."""
    command = [sys.executable, "-c", _STALLED, str(len(data)), *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(home), stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(data)
        process.stdin.flush()
        code = process.wait(TIMEOUT)
        return subprocess.CompletedProcess(command, code, process.stdout.read(), process.stderr.read())


def failed(result: subprocess.CompletedProcess[bytes], code: int = 2) -> str:
    """What a command said that failed as it should: with this code and no traceback."""
    message = result.stderr.decode()
    assert result.returncode == code, message
    assert "Traceback" not in message
    return message
