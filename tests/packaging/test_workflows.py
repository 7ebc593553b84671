"""The workflows of continuous integration are well-formed, and say what the project's configuration says."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

yaml = pytest.importorskip("yaml", reason="the extra 'convert' is not installed")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in job.get("steps", [])]


def test_there_are_workflows() -> None:
    assert {path.stem for path in WORKFLOWS} == {"checks", "dependencies", "publish"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_keep_no_credentials(path: Path) -> None:
    used = [step for step in steps(path) if "uses" in step]
    assert used
    for step in used:
        assert re.fullmatch(r"[\w./-]+@v\d+(\.\d+)*", step["uses"])
        if step["uses"].startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_every_supported_python_is_tested() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {each.rpartition(" ")[2] for each in project["classifiers"] if re.search(r":: 3\.\d+$", each)}
    checks = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8"))
    assert named == set(checks["jobs"]["tests"]["strategy"]["matrix"]["python"])


def test_the_lane_of_fast_tests_is_the_documented_one() -> None:
    commands = " ".join(step.get("run", "") for path in WORKFLOWS for step in steps(path))
    (documented,) = set(re.findall(r'pytest -m "(not [^"]+)"', (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert f'-m "{documented}"' in commands
