"""The command `legato` in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path


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
        timeout=100,
    )


def failed(result: subprocess.CompletedProcess[bytes], code: int = 2) -> str:
    """What a command said that failed as it should: with this code and no traceback."""
    message = result.stderr.decode()
    assert result.returncode == code, message
    assert "Traceback" not in message
    return message
