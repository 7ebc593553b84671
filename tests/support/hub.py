"""A local hub of models: an HTTP server that answers the requests of huggingface_hub for downloads."""

import gzip
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit

from tests.support.local_server import LocalServer, QuietHandler

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    token: str | None
    sent: int = 0


@dataclass
class Hub(LocalServer):
    """Repositories to serve, faults to produce, and the requests that came.

    Attributes:
        repos: contents by `owner/name` and file name.
        stop_after: by file name, the number of bytes after which the server stops sending.
        steps: count `stop_after` from the start of each request, not from the beginning of the file.
        spoiled: names of files that are sent with one bit flipped.
        longer: names of files that are sent with ten times their bytes.
        packed: names of files that are sent with gzip.
        mute: the server accepts connections and never answers.
        refusals: by repository, the status and the X-Error-Code for its files.
        requests: all requests, in order.
        silent: set when the server stops sending.
        released: set it to end the silence; the connection is then closed.
    """

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    stop_after: dict[str, int] = field(default_factory=dict)
    steps: bool = False
    spoiled: set[str] = field(default_factory=set)
    longer: set[str] = field(default_factory=set)
    packed: set[str] = field(default_factory=set)
    mute: bool = False
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    commit: str = COMMIT

    def __exit__(self, *_: object) -> None:
        self.released.set()
        super().__exit__()

    @property
    def store_url(self) -> str:
        """Address of large files: this server under another host name, as the hub's content stores are other hosts."""
        return f"http://localhost:{self.port}/store"

    def gets(self, name: str) -> list[Request]:
        return [r for r in self.requests if r.method == "GET" and r.path.endswith("/" + name)]


class _Handler(QuietHandler):
    serves: ClassVar[Hub]

    def answer(self) -> None:
        hub = self.serves
        if hub.mute:
            hub.released.wait(60)
            self.close_connection = True
            return
        path = urlsplit(self.path).path
        self.request_ = Request(self.command, path, self.headers.get("Range"), self.headers.get("Authorization"))
        hub.requests.append(self.request_)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", path):
            self._info(match[1])
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self._resolve(match[1], match[2])
        elif match := re.fullmatch(r"/store/([^/]+/[^/]+)/(.+)", path):
            self._content(match[2], hub.repos[match[1]][match[2]])
        else:
            self.send(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _info(self, repo: str) -> None:
        hub = self.serves
        if repo not in hub.repos:
            self.send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return
        siblings = [{"rfilename": name} for name in hub.repos[repo]]
        self.send(200, json.dumps({"id": repo, "sha": hub.commit, "siblings": siblings}).encode(), {})

    def _resolve(self, repo: str, name: str) -> None:
        hub = self.serves
        if repo in hub.refusals:
            status, code = hub.refusals[repo]
            self.send(status, b"", {"X-Error-Code": code} if code else {})
            return
        content = hub.repos[repo][name]
        headers = {"X-Repo-Commit": hub.commit}
        if len(content) > 1000:  # large file storage: a redirect to the store, with the SHA-256
            headers["X-Linked-Size"] = str(len(content))
            headers["X-Linked-Etag"] = f'"{hashlib.sha256(content).hexdigest()}"'
            headers["Location"] = f"{hub.store_url}/{repo}/{name}"
            self.send(302, b"", headers)
            return
        headers["ETag"] = f'"{hashlib.sha1(b"blob %d" % len(content) + bytes(1) + content).hexdigest()}"'
        self._content(name, content, headers)

    def _content(self, name: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        hub = self.serves
        if self.command == "GET" and name in hub.longer:
            content = content * 10
        if self.command == "GET" and name in hub.packed:
            content, headers = gzip.compress(content), {**(headers or {}), "Content-Encoding": "gzip"}
        start = 0
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            start = int(match[1])
        self.send_response(206 if start else 200)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        body = bytearray(content)
        if name in hub.spoiled:
            body[-1] ^= 1
        stop = hub.stop_after.get(name)
        part = body[start:] if stop is None else body[start : start + stop if hub.steps else max(start, stop)]
        self.wfile.write(part)
        self.wfile.flush()
        self.request_.sent = len(part)
        if stop is not None and len(part) < len(body) - start:
            hub.silent.set()
            hub.released.wait(60)
            self.close_connection = True


Hub.handler = _Handler
