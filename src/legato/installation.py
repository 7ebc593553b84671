"""How Legato was installed, for messages that say how to install the packages of an extra."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname


def install_command(*extras: str) -> str:
    """Return the pip command that adds extras to this installation of Legato.

    Args:
        extras: names of extras, such as `serve`.
    """
    names = ",".join(extras)
    origin = _origin()
    url = str(origin.get("url", ""))
    if not url:  # from a package index
        return f"pip install 'legato[{names}]'"
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {editable}'{url2pathname(urlsplit(url).path)}[{names}]'"
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{url}@{origin['vcs_info']['commit_id']}"
    return f"pip install 'legato[{names}] @ {url}'"


def _origin() -> dict[str, Any]:
    """Return where pip installed Legato from (PEP 610); empty for a package index."""
    try:
        text = distribution("legato").read_text("direct_url.json")
    except PackageNotFoundError:
        return {}
    origin: dict[str, Any] = json.loads(text) if text else {}
    return origin
