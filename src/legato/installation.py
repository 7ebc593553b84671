"""How Legato was installed, for messages that say how to install the packages of an extra."""

import json
import re
import shutil
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

#: Where pip finds Legato if an installation does not say where it came from: `legato` once a package index has it, or
#: an address such as `git+https://...`. None: it is on no index, and the packages of the extras are named instead.
SOURCE: str | None = None


def install_command(*extras: str) -> str:
    """Return the command that adds the packages of extras to this installation of Legato.

    Args:
        extras: names of extras, such as `serve`.
    """
    try:
        installed = distribution("legato")
    except PackageNotFoundError:
        installed = None
    return f"{_installer(installed)} {_target(installed, extras)}"


def _installer(installed: Distribution | None) -> str:
    """Return the command that installs packages for the running Python, whose environment need not be active."""
    if (pip := shutil.which("pip")) and Path(pip).parent == Path(sys.executable).parent:
        return "pip install"
    if installed is not None and (installed.read_text("INSTALLER") or "").strip() == "uv":
        return f"uv pip install --python '{sys.executable}'"
    return f"'{sys.executable}' -m pip install"


def _target(installed: Distribution | None, extras: tuple[str, ...]) -> str:
    names = ",".join(extras)
    origin = _origin(installed)
    url = str(origin.get("url", ""))
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"{editable}'{url2pathname(urlsplit(url).path)}[{names}]'"
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    url = url or SOURCE or ""
    if url:
        return f"'legato[{names}] @ {url}'" if ":" in url else f"'{url}[{names}]'"
    if installed is not None:
        return " ".join(f"'{each}'" for each in _packages(installed, extras))
    return f"'{Path(__file__).parents[2]}[{names}]'"  # a clone whose packages are found through PYTHONPATH


def _packages(installed: Distribution, extras: tuple[str, ...]) -> list[str]:
    """Return the requirements of extras, with the conditions that they have besides the extra."""
    one = re.compile(rf"""(?P<rest>.*?)( and )?extra == ["']({"|".join(map(re.escape, extras))})["']""")
    found = []
    for each in installed.requires or ():
        name, _, marker = each.partition(";")
        if match := one.fullmatch(marker.strip()):
            condition = match["rest"].strip().strip("()").replace("'", '"')
            found.append(f"{name.strip()}; {condition}" if condition else name.strip())
    return found


def _origin(installed: Distribution | None) -> dict[str, Any]:
    """Return where pip installed Legato from (PEP 610); empty for a package index and for a clone in PYTHONPATH."""
    text = installed.read_text("direct_url.json") if installed is not None else None
    origin: dict[str, Any] = json.loads(text) if text else {}
    return origin
