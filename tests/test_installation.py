"""Remedies name the command that works for how Legato was installed."""

import json
from typing import Any

import pytest

from legato import installation


class Distribution:
    def __init__(self, origin: dict[str, Any] | None) -> None:
        self.origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'legato[serve,vad]'"),
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
    ],
)
def test_the_command(monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | None, command: str) -> None:
    monkeypatch.setattr(installation, "distribution", lambda _: Distribution(origin))
    assert installation.install_command("serve", "vad") == command
