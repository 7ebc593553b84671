"""The license of a checkpoint, as the model card beside it states it."""

import re
from collections.abc import Mapping
from pathlib import Path

FIELDS = ("license", "license_name", "license_link")
"""Fields of a hub's model card: a short name, or `other` with a name and an address."""

_METADATA_BYTES = 1 << 16


def read_license(path: Path) -> dict[str, str]:
    """Return the fields of the license in the model card (README.md) of a checkpoint; empty if there is none.

    Args:
        path: the checkpoint. The card of a file is in its folder.
    """
    card = (path if path.is_dir() else path.parent) / "README.md"
    if not card.is_file():
        return {}
    with card.open("rb") as file:
        start, *metadata = file.read(_METADATA_BYTES).decode("utf-8", "replace").splitlines() or [""]
    if start.strip() != "---":
        return {}
    values: dict[str, str] = {}
    for line in metadata:
        if line.strip() == "---":
            return license_fields(values)
        if match := re.fullmatch(r"(\w+):\s+(.+?)\s*", line):
            values[match[1]] = match[2].strip("\"'")
    return {}


def license_fields(values: Mapping[str, str]) -> dict[str, str]:
    """Return those of `FIELDS` that have a text, if the license itself has one."""
    found = {name: values[name] for name in FIELDS if values.get(name)}
    return found if "license" in found else {}
