"""A local hub of one data set: an HTTP server that answers the requests of `datasets` and `huggingface_hub`."""

import hashlib
import json
import re
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.local_server import LocalServer, QuietHandler

Files = dict[str, bytes]


class DatasetHub(LocalServer):
    """Serves a repository during its `with` block.

    Args:
        repository: `owner/name`.
        branches: contents by branch and file name.
    """

    def __init__(self, repository: str, branches: dict[str, Files]) -> None:
        self.repository = repository
        self.branches = branches
        self.commits = {name: hashlib.sha1(name.encode()).hexdigest() for name in branches}
        self.resolved: list[str] = []

    def branch(self, revision: str) -> str | None:
        wanted = unquote(revision)
        return next((name for name, commit in self.commits.items() if wanted in (name, commit)), None)


class _Handler(QuietHandler):
    serves: ClassVar[DatasetHub]

    def do_POST(self) -> None:  # noqa: N802
        self.answer()

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub, parts = self.serves, urlsplit(self.path)
        api = f"/api/datasets/{hub.repository}"
        match = (
            re.fullmatch(rf"{api}(?:/(?P<what>revision)/(?P<rev>.+))?", parts.path)
            or re.fullmatch(rf"{api}/(?P<what>tree|paths-info)/(?P<rev>[^/]+)(?:/(?P<path>.*))?", parts.path)
            or re.fullmatch(rf"/datasets/{hub.repository}/(?P<what>resolve)/(?P<rev>[^/]+)/(?P<path>.+)", parts.path)
        )
        branch = hub.branch(match["rev"] or "main") if match else None
        if match is None or branch is None:
            self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound" if match else "EntryNotFound"})
            return
        files = hub.branches[branch]
        path = unquote(match.groupdict().get("path") or "")
        if match["what"] == "tree":
            self._tree(files, path, recursive="recursive=true" in parts.query.lower())
        elif match["what"] == "paths-info":
            self._json([entry for name in parse_qs(body.decode()).get("paths", []) for entry in _entries(files, name)])
        elif match["what"] == "resolve":
            self._resolve(files, path, hub.commits[branch])
        else:
            names = [{"rfilename": name} for name in files]
            self._json({"id": hub.repository, "sha": hub.commits[branch], "siblings": names, "tags": []})

    def _tree(self, files: Files, folder: str, *, recursive: bool) -> None:
        start = f"{folder}/" if folder else ""
        below = [name for name in files if name.startswith(start)]
        if not below:
            self.send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        names: dict[str, None] = {}
        for name in below:
            steps = name[len(start) :].split("/")
            for count in range(1, len(steps) + 1) if recursive else [1]:
                names[start + "/".join(steps[:count])] = None
        self._json([entry for name in names for entry in _entries(files, name)])

    def _resolve(self, files: Files, name: str, commit: str) -> None:
        if name not in files:
            self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        self.serves.resolved.append(name)
        content = files[name]
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self.send(206, content[first : last + 1], headers)
            return
        self.send(200, content, headers)

    def _json(self, value: Any) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})


def _entries(files: Files, name: str) -> list[dict[str, Any]]:
    """Return the hub's entry of a file or folder; an empty list if there is no such path."""
    if name in files:
        oid = hashlib.sha1(files[name]).hexdigest()
        return [{"type": "file", "path": name, "size": len(files[name]), "oid": oid}]
    if any(other.startswith(f"{name}/") for other in files):
        return [{"type": "directory", "path": name, "size": 0, "oid": "0" * 40}]
    return []


DatasetHub.handler = _Handler
