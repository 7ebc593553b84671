"""Download a model: resumable, verified, and published in one step.

Files arrive in a folder next to the final one, under names that hold the hash they should have, so an interrupted
download resumes where it stopped and is never taken for a model. When all files have the size and hash that the hub
announced, and the caller's check passes, the folder is renamed.
"""

import functools
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from legato.errors import BundleError, DownloadError, InstallationError
from legato.files import Progress, describe_size
from legato.model.hub import RemoteFile, explained, is_network_error, receive, remote_files
from legato.model.integrity import CORRECTION, DOWNLOAD_RECORD, REMEDY, has_hash

_SPARE_BYTES = 32 << 20
_TRIES = 3
_OTHER = "Choose another model."


def download(repo: str, target: Path, *, check: Callable[[Path], object], progress: Progress | None = None) -> None:
    """Download a model's files.

    Args:
        repo: `owner/name` on the hub.
        target: the folder to make. An existing one is replaced at the very end.
        check: called with the complete folder before it is published; raises BundleError if it is not a model.
        progress: called for every piece that arrives, with bytes of all files together.

    Raises:
        DownloadError: cause and remedy. What arrived is kept for the next try, unless it was wrong or is not a model.
    """
    partial = target.parent / ".partial" / target.name
    with explained(repo):
        partial.mkdir(parents=True, exist_ok=True)
        with _lock(partial.with_name(partial.name + ".lock"), repo):
            commit, files = remote_files(repo)
            _delete_leftovers(partial, files)
            _check_room(partial, repo, files)
            total = sum(file.size for file in files)
            before = 0
            for file in files:
                _fetch(repo, file, partial, functools.partial(_report, progress, file.name, before, total))
                before += file.size
            record = {
                "repository": repo,
                "commit": commit,
                "files": {file.name: {"size": file.size, "hash": file.hash} for file in files},
            }
            (partial / DOWNLOAD_RECORD).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
            try:
                check(partial)
            except InstallationError as error:
                raise DownloadError(
                    f"{repo} arrived complete, but this installation cannot run it yet: {error}. Then run the same "
                    "command again: the files are kept."
                ) from error
            except BundleError as error:
                shutil.rmtree(partial)
                reason = str(error).replace(REMEDY, _OTHER).replace(CORRECTION, _OTHER)
                raise DownloadError(
                    f"{repo} arrived complete but is not a model that Legato can run: {reason}"
                ) from error
            _publish(partial, target)


def _fetch(repo: str, file: RemoteFile, folder: Path, progress: Callable[[int], object]) -> None:
    """Download one file into `folder` under its partial name, then rename it."""
    done = folder / file.name
    if done.is_file() and done.stat().st_size == file.size and has_hash(done, file.hash):
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
                receive(file, there, sink, progress)
            except Exception as error:
                failures = 0 if sink.seek(0, io.SEEK_END) > there else failures + 1
                if failures >= _TRIES or not is_network_error(error):
                    raise
                time.sleep(1)
    if not has_hash(partial, file.hash):
        partial.unlink()
        raise DownloadError(
            f"{repo}: {file.name} was altered on the way: its hash is not the one that the hub announced. It was "
            "deleted. Try again, and through another network if that does not help."
        )
    partial.replace(done)


def _report(progress: Progress | None, name: str, before: int, total: int, here: int) -> None:
    if progress is not None:
        progress(name, before + here, total)


def _delete_leftovers(folder: Path, files: list[RemoteFile]) -> None:
    """Delete what an earlier try left of another commit."""
    keep = {file.name for file in files} | {file.partial_name for file in files}
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()


def _check_room(folder: Path, repo: str, files: list[RemoteFile]) -> None:
    there = sum(path.stat().st_size for path in folder.iterdir())
    need = sum(file.size for file in files) - there + _SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DownloadError(
            f"No room for {repo}: {describe_size(need)} are needed in {folder} and {describe_size(free)} are free. "
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


@contextmanager
def _lock(path: Path, repo: str) -> Iterator[None]:
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout:
        raise DownloadError(f"Another process is downloading {repo}. Wait until it ends.") from None
