"""The clients of `interop/`, which `./check interop` runs."""

import runpy

from tests.support.paths import ROOT

STACKS = runpy.run_path(str(ROOT / "interop" / "stacks.py"))["STACKS"]


def test_every_client_has_a_script_and_is_in_the_table() -> None:
    table = (ROOT / "docs" / "interop.md").read_text(encoding="utf-8")
    for stack in STACKS:
        assert (ROOT / "interop" / stack.script).is_file()
        assert f"| {stack.title} |" in table
