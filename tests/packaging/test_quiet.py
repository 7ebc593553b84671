"""A run leaves no file outside of its own cache and asks for no address."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import SAMPLES

_WATCH = """
import os, sys
def watch(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}:
        with open(os.environ["WATCHED"], "a") as file:
            print(event, arguments[1:], file=file)
sys.addaudithook(watch)
"""


def run(home: Path, code: str, **environment: str) -> str:
    """Run Python code with a home of its own; return what it asked of the network."""
    hook, asked = home.parent / "hook", home.parent / "asked"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(_WATCH)
    home.mkdir()
    kept = {
        name: value for name, value in os.environ.items() if name not in {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    }
    path = os.pathsep.join([str(hook), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"HOME": str(home), "LEGATO_HOME": str(home / "cache"), "WATCHED": str(asked), "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=kept | own | environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return asked.read_text() if asked.exists() else ""


def files(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


_API = f"import legato; assert legato.load('embedded').transcribe({str(SAMPLES / 'en.flac')!r}).text"
_COMMAND = (
    f"import sys; sys.argv[1:] = ['transcribe', {str(SAMPLES / 'en.flac')!r}]; from legato.cli import main; main()"
)


@pytest.mark.parametrize("code", [_API, _COMMAND], ids=["api", "command"])
def test_nothing_leaves_the_machine(code: str, tmp_path: Path) -> None:
    assert run(tmp_path / "home", code) == ""
    assert {name.split("/")[0] for name in files(tmp_path / "home")} <= {"cache"}


def test_a_users_own_setting_of_the_telemetry_stays(tmp_path: Path) -> None:
    code = "import legato, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    run(tmp_path / "home", code + "; assert os.environ['ORT_DISABLE_TELEMETRY'] == '0'", ORT_DISABLE_TELEMETRY="0")
