"""What the documents install exists, and nothing is installed from a package index that has no Legato."""

import re
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "deploy").rglob("*"),
    *(ROOT / "examples").rglob("*"),
]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES if page.is_file() and page.suffix != ".png"}


@pytest.mark.slow
def test_pip_finds_every_extra_of_the_documents() -> None:
    named = {
        name for text in TEXTS.values() for names in re.findall(r"'\.\[([\w,-]+)\]'", text) for name in names.split(",")
    }
    assert {"serve", "mic", "all"} <= named
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", f"{ROOT}[{','.join(sorted(named))}]"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Would install legato" in result.stdout
    assert "does not provide the extra" not in result.stderr


def test_no_document_installs_it_from_an_index() -> None:
    found = [
        (page.name, line)
        for page, text in TEXTS.items()
        for line in re.findall(r"(?:pip|pipx|uvx|uv add).*", text)
        if re.search(r"(?:install|add|run|uvx) (?:-\S+ )*['\"]?legato(?:\[|['\"\s`]|$)", line)
    ]
    assert found == []
