"""Folders that tests read."""

from importlib import resources
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
DATA = TESTS / "data"
REFERENCES = TESTS / "references"
#: The spoken sample of each language in the package, `LANGUAGE.flac`.
SAMPLES = Path(str(resources.files("legato"))) / "assets" / "samples"
