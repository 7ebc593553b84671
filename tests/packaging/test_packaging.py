"""The package as its users meet it: its public API, what an import loads, and one version."""

import importlib.metadata
import re
import subprocess
import sys

import pytest

import legato
from tests.support.paths import ROOT

#: Packages that `import legato` must not load: they are slow, or belong to one part only.
LATE = ("huggingface_hub", "typer", "rich", "av", "soxr", "fastapi", "matplotlib", "onnx", "ray")


def test_the_public_api_is_the_recorded_one() -> None:
    for extra in ("onnx_ir", "fastapi"):
        pytest.importorskip(extra, reason="needs the extras `convert` and `serve`")
    from tests.packaging.public_api import RECORD, describe

    assert describe() == RECORD.read_text(encoding="utf-8"), "if intended: python -m tests.packaging.public_api"


def test_an_import_loads_only_what_it_needs() -> None:
    code = f"import sys, legato; print(*(name for name in {LATE} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert result.stdout.split() == []


def test_the_version_has_one_source() -> None:
    assert importlib.metadata.version("legato") == legato.__version__


def test_the_reference_documents_every_public_name() -> None:
    reference = (ROOT / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    documented = re.findall(r"^::: legato\.(\w+)$", reference, re.MULTILINE)
    assert sorted(documented) == sorted(set(legato.__all__) - {"__version__"})
