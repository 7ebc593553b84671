"""Fetch a model's files from the hub: resumable, verified, and published in one step.

Files arrive in a folder beside the final one, under names that carry the hash they should have, so that an interrupted
download goes on where it stopped and can never be taken for a model. When all of them are there and have the size and
hash that the hub announced, and the caller's check passes, the folder is renamed.
"""

import contextlib
import errno
import functools
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout
from huggingface_hub import HfApi, get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    hf_raise_for_status,
)

from legato.errors import BundleError, DownloadError

Progress = Callable[[str, int, int], None]
"""Called with the file that is coming, and the bytes done and to do of all files together."""

RECORD = "download.json"
"""File in a downloaded folder: repository, commit, and size and hash of every file."""

_GRAPHS = ("encoder.onnx", "decoder.onnx", "joint.onnx")
_REQUIRED = (*_GRAPHS, "config.json", "vocab.json", "languages.json")
_WANTED = re.compile(r"[\w.-]+\.(onnx|data|onnx_data|json)")
_SPARE_BYTES = 32 << 20
_TRIES = 3
_NETWORK_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2"}


@dataclass(frozen=True, slots=True)
class _Remote:
    """A file on the hub.

    Attributes:
        name: in the repository and in our folder.
        size: in bytes.
        hash: SHA-256 (64 digits), or a git blob's SHA-1 (40 digits) for files outside large file storage.
        url: where to ask for its bytes. The hub redirects to a signed address that does not live long, so it is asked
            anew each time; the user's token does not go with a redirect to another host.
    """

    name: str
    size: int
    hash: str
    url: str

    @property
    def partial_name(self) -> str:
        return f"{self.name}.{re.sub(r'[^0-9A-Za-z]', '', self.hash)[:16]}.part"


def download(repo: str, target: Path, *, check: Callable[[Path], object], progress: Progress | None = None) -> None:
    """Download a model's files.

    Args:
        repo: `owner/name` on the hub.
        target: the folder to make; one that is there is replaced, at the very end.
        check: called with the complete folder before it is published; raises BundleError when it is no model.
        progress: told about every piece that arrives.

    Raises:
        DownloadError: cause and remedy; what arrived is kept for the next try, unless it was wrong.
    """
    partial = target.parent / ".partial" / target.name
    with _explained(repo):
        partial.mkdir(parents=True, exist_ok=True)
        with _lock(partial.with_name(partial.name + ".lock"), repo):
            commit, files = _remote_files(repo)
            _drop_leftovers(partial, files)
            _need_room(partial, repo, files)
            total = sum(file.size for file in files)
            before = 0
            for file in files:
                _fetch(repo, file, partial, functools.partial(_tell, progress, file.name, before, total))
                before += file.size
            record = {
                "repository": repo,
                "commit": commit,
                "files": {file.name: {"size": file.size, "hash": file.hash} for file in files},
            }
            (partial / RECORD).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
            try:
                check(partial)
            except BundleError as error:
                shutil.rmtree(partial)
                raise DownloadError(
                    f"{repo} arrived complete but is not a model that Legato can run: {error} Choose another model."
                ) from error
            _publish(partial, target)


def altered_file(folder: Path) -> str | None:
    """Compare a downloaded folder with what the hub announced: the first file that differs, or None."""
    try:
        files = json.loads((folder / RECORD).read_text("utf-8"))["files"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError):
        return RECORD
    for name, expected in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != expected["size"] or not _has_hash(path, expected["hash"]):
            return str(name)
    return None


def _remote_files(repo: str) -> tuple[str, list[_Remote]]:
    """Ask the hub for the current commit and its model files, the small ones first."""
    info = HfApi().model_info(repo)
    commit = info.sha or "main"
    names = [sibling.rfilename for sibling in info.siblings or []]
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        checkpoint = any(name.endswith((".nemo", ".safetensors")) for name in names)
        remedy = (
            "It looks like a checkpoint: download it and run 'legato convert'."
            if checkpoint
            else "Choose a repository of a converted model."
        )
        raise DownloadError(f"{repo} is not a model for Legato: {missing[0]} is missing. {remedy}")
    files = [_remote_file(repo, name, commit) for name in names if _WANTED.fullmatch(name)]
    return commit, sorted(files, key=lambda file: file.size)


def _remote_file(repo: str, name: str, commit: str) -> _Remote:
    url = hf_hub_url(repo, name, revision=commit)
    metadata = get_hf_file_metadata(url)
    if metadata.size is None or metadata.etag is None:
        raise DownloadError(f"{repo}: the hub does not say size and hash of {name}. Try again later.")
    return _Remote(name, metadata.size, metadata.etag, url)


def _fetch(repo: str, file: _Remote, folder: Path, progress: Callable[[int], object]) -> None:
    """Bring one file into `folder` under its partial name, then give it its own."""
    done = folder / file.name
    if done.is_file() and done.stat().st_size == file.size and _has_hash(done, file.hash):
        progress(file.size)
        return
    partial = folder / file.partial_name
    there = partial.stat().st_size if partial.is_file() else 0
    if there > file.size:
        partial.unlink()
        there = 0
    progress(there)
    with partial.open("r+b" if there else "wb") as sink:
        failures = 0
        while (there := sink.seek(0, io.SEEK_END)) < file.size:
            try:
                _receive(file, there, sink, progress)
            except Exception as error:
                failures = 0 if sink.seek(0, io.SEEK_END) > there else failures + 1
                if failures >= _TRIES or not _is_network(error):
                    raise
                time.sleep(1)
    if not _has_hash(partial, file.hash):
        partial.unlink()
        raise DownloadError(
            f"{repo}: {file.name} arrived altered: its hash is not the one that the hub announced. It was deleted; "
            "try again, and through another network if that does not help."
        )
    partial.replace(done)


def _receive(file: _Remote, start: int, sink: BinaryIO, progress: Callable[[int], object]) -> None:
    """Append a file's bytes from `start` on to `sink`, until the end or until the connection breaks."""
    headers = build_hf_headers()
    headers["Accept-Encoding"] = "identity"
    if start:
        headers["Range"] = f"bytes={start}-"
    with get_session().stream("GET", file.url, headers=headers, timeout=HF_HUB_DOWNLOAD_TIMEOUT) as response:
        if response.status_code >= 400:
            response.read()
        hf_raise_for_status(response)
        if start and response.status_code != 206:  # the whole file is coming
            sink.seek(0)
            sink.truncate()
        for piece in response.iter_bytes():
            sink.write(piece)
            progress(min(sink.tell(), file.size))
        if sink.tell() < file.size:
            raise ConnectionError(f"{file.name} ended after {sink.tell()} of {file.size} bytes")


def _tell(progress: Progress | None, name: str, before: int, total: int, here: int) -> None:
    if progress is not None:
        progress(name, before + here, total)


def _has_hash(path: Path, expected: str) -> bool:
    """Whether a file has a SHA-256 or a git blob's SHA-1; other kinds of hash are not judged."""
    if re.fullmatch(r"[0-9a-f]{64}", expected):
        digest = hashlib.sha256()
    elif re.fullmatch(r"[0-9a-f]{40}", expected):
        digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        return True
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest() == expected


def _drop_leftovers(folder: Path, files: list[_Remote]) -> None:
    """Delete what an earlier try left of another commit."""
    keep = {file.name for file in files} | {file.partial_name for file in files}
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()


def _need_room(folder: Path, repo: str, files: list[_Remote]) -> None:
    there = sum(path.stat().st_size for path in folder.iterdir())
    need = sum(file.size for file in files) - there + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DownloadError(
            f"No room for {repo}: {need / 1e6:.0f} MB are needed in {folder} and {free / 1e6:.0f} MB are free. "
            "Free some, or set LEGATO_HOME to a folder on another disk."
        )


def _publish(folder: Path, target: Path) -> None:
    if not target.exists():
        folder.rename(target)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix="old-"))
    target.rename(old / "model")
    folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _lock(path: Path, repo: str) -> Iterator[None]:
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout:
        raise DownloadError(f"Another process is downloading {repo}. Wait for it to end.") from None


@contextlib.contextmanager
def _explained(repo: str) -> Iterator[None]:
    """Turn what goes wrong on the way into a DownloadError with cause and remedy."""
    try:
        yield
    except DownloadError:
        raise
    except Exception as error:
        message = _explanation(repo, error)
        if message is None:
            raise
        raise DownloadError(message) from error


def _explanation(repo: str, error: Exception) -> str | None:
    again = "What arrived is kept: run the same command again to go on."
    if isinstance(error, GatedRepoError):
        return f"{repo} is gated. Accept its terms on its page, then log in with 'hf auth login' or set HF_TOKEN."
    if isinstance(error, RepositoryNotFoundError):
        return f"{repo}: no such repository, or a private one. Check the name; for a private one set HF_TOKEN."
    if isinstance(error, HFValidationError):
        return f"{repo!r} is not the name of a repository. Names look like owner/name; see 'legato models'."
    if isinstance(error, OfflineModeIsEnabled):
        return f"{repo} cannot be downloaded: HF_HUB_OFFLINE is set. Unset it."
    if isinstance(error, HfHubHTTPError):
        return f"{repo}: {_status(error)}"
    if _is_network(error):
        return f"{repo}: no connection to the hub ({error}). Check the network, a proxy, and HF_ENDPOINT. {again}"
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"{repo}: the disk is full. Free some room, or set LEGATO_HOME to a folder on another disk. {again}"
    if isinstance(error, OSError) and error.errno is not None:
        where = f" {error.filename}" if error.filename else ""
        return f"{repo}: cannot write{where}: {os.strerror(error.errno)}. Set LEGATO_HOME to a folder you may write to."
    if isinstance(error, OSError):
        return f"{repo}: the download broke off ({str(error).splitlines()[0]}). {again}"
    return None


def _is_network(error: Exception) -> bool:
    """Whether a connection failed, as opposed to what the hub answered."""
    library = type(error).__module__.split(".")[0]
    return library in _NETWORK_LIBRARIES or isinstance(error, ConnectionError | TimeoutError)


def _status(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status == 401:
        return "the hub does not accept the token (401). Log in again with 'hf auth login' or correct HF_TOKEN."
    if status == 403:
        return "the hub refuses access (403). Ask its owner for access, or use a token that has it (HF_TOKEN)."
    if status == 404:
        return "not on the hub (404). Check the name, and HF_ENDPOINT."
    if status == 429:
        return "the hub asks to slow down (429). Wait some minutes and run the same command again."
    return f"the hub answered {status}. Try again later."
