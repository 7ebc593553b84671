"""Optimized copies of large INT8 bundles, in the cache folder of the user.

ONNX Runtime optimizes a graph and rearranges its weights at every start, in memory of each process. A copy holds the
result: it loads in a fraction of the time, and its weights are mapped, so that processes share them. A copy is valid
for one content of the bundle, one version of ONNX Runtime and one kind of processor; its weights have the sign that
this processor needs (see `legato.runtime.signs`). Whatever goes wrong with copies, the bundle itself can be loaded.
"""

import contextlib
import hashlib
import json
import logging
import os
import platform
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from legato.errors import BundleError, LegatoError
from legato.files import write_text_atomically
from legato.model.bundle import GRAPHS, Bundle
from legato.model.fields import FieldError, Fields, read_json
from legato.model.integrity import KnownHashes, cache_home, check_files, recorded_files
from legato.runtime.graphs import has_narrow_weights
from legato.runtime.session import OPTIMIZED_RECORD, VERSION, multiplies_signed_exactly, write_optimized

logger = logging.getLogger("legato")

LIMIT_VARIABLE = "LEGATO_OPTIMIZED_MB"
"""Environment variable: the most megabytes of all copies together. 0 makes and uses none."""

_DEFAULT_LIMIT_MB = 4000
#: Smaller bundles load in a fraction of a second as they are.
_SMALLEST = 64 << 20
#: Endings of files of weights whose names do not begin with that of a graph.
_WEIGHTS = {".data", ".onnx_data", ".bin", ".weights"}
#: Changes when copies are made in another way.
_FORMAT = 2
#: A copy holds the weights as they are, and rearranged. Another copy with other signs exists while it is made.
_SIZE, _ROOM = 2, 3
_LARGEST_RECORD = 1 << 20
#: Seconds to wait for another process that makes a copy.
_WAIT = 60


@dataclass(frozen=True)
class OptimizedCopy:
    """A copy in the cache.

    Attributes:
        path: its folder.
        name: of the model.
        size: in bytes.
        used: when it was last used, in seconds since the epoch.
    """

    path: Path
    name: str
    size: int
    used: float


def optimized(bundle: Bundle) -> Bundle | None:
    """Return the optimized copy of a bundle, which is made if there is none yet; it differs in its path.

    Returns:
        None if the bundle is small, not INT8 or not ONNX, if copies are switched off, or if none can be made;
            the reason is logged.
    """
    limit = _limit()
    size = _size(bundle.path)
    if not limit or size < _SMALLEST or bundle.precision in {"fp32", "fp16"} or bundle.layout == "litert":
        return None
    if _SIZE * size > limit:
        logger.info("%s: no optimized copy: %s allows %d MB.", bundle.name, LIMIT_VARIABLE, limit // 10**6)
        return None
    try:
        path = _find_or_make(bundle, limit)
    except (OSError, RuntimeError, ValueError, LegatoError) as error:  # filelock's Timeout is an OSError
        logger.info("%s: no optimized copy, loading takes longer: %s", bundle.name, error)
        return None
    return replace(bundle, path=path) if path else None


def copies() -> list[OptimizedCopy]:
    """Return the copies in the cache, the one that was used last first."""
    found = []
    for path in _folder().glob("[0-9a-f]*"):
        with contextlib.suppress(OSError, FieldError):
            record = path / OPTIMIZED_RECORD
            name = Fields(read_json(record, _LARGEST_RECORD), str(record)).text("name", 1000)
            found.append(OptimizedCopy(path, name, _size(path), record.stat().st_mtime))
    return sorted(found, key=lambda copy: copy.used, reverse=True)


def remove_copies() -> list[OptimizedCopy]:
    """Remove all copies, and what interrupted processes left; return the copies that were removed.

    Raises:
        OSError: something cannot be removed.
    """
    removed = copies()
    if _folder().is_symlink():
        raise OSError(f"{_folder()} is a link. Remove it yourself.")
    if _folder().is_dir():
        shutil.rmtree(_folder())
    return removed


def discard(copy: Bundle) -> None:
    """Remove a copy that cannot be loaded."""
    shutil.rmtree(copy.path, ignore_errors=True)


def _find_or_make(bundle: Bundle, limit: int) -> Path | None:
    folder = _folder()
    target = folder / _key(bundle)
    if _usable(target):
        return target
    # Both load packages that only the making of a copy needs.
    from filelock import FileLock  # noqa: PLC0415

    from legato.runtime.signs import GraphContent  # noqa: PLC0415

    contents = [GraphContent.of(bundle.path / f"{name}.onnx") for name in GRAPHS]
    if not any(content.integers for content in contents):
        return None
    names = {path.name for path in _graph_files(bundle.path)}
    if unknown := {name for content in contents for name in content.files} - names:
        raise ValueError(f"its weights are in {', '.join(sorted(unknown))}")
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    _check_own(folder)
    with FileLock(folder / ".lock", timeout=_WAIT):
        if _usable(target, told=True):  # another process has made it
            return target
        for left in (target, *folder.glob(".*.part")):
            shutil.rmtree(left, ignore_errors=True)
        room = _ROOM * _size(bundle.path)
        if shutil.disk_usage(folder).free < room:
            raise OSError(f"the disk has less than {room // 10**6} MB free")
        logger.info("%s: making an optimized copy for this processor, once", bundle.name)
        unfinished = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=folder))
        try:
            _make(bundle, unfinished)
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        for copy in _beyond(limit, target):
            shutil.rmtree(copy.path, ignore_errors=True)
    return target if _usable(target) else None


def _make(bundle: Bundle, folder: Path) -> None:
    from legato.runtime.signs import write_with_signs  # noqa: PLC0415

    for name in GRAPHS:
        path = bundle.path / f"{name}.onnx"
        with tempfile.TemporaryDirectory(prefix="signs", dir=folder) as work:
            narrow, signed = has_narrow_weights(bundle, name), multiplies_signed_exactly()
            if (signed or not narrow) and platform.machine().lower() in {"x86_64", "amd64"}:
                path = write_with_signs(path, Path(work), signed=signed)
            write_optimized(path, folder / path.name, reduce_range=narrow)
    known = KnownHashes()
    files = {
        file.name: {"size": file.stat().st_size, "sha256": known.sha256(file)} for file in sorted(folder.iterdir())
    }
    write_text_atomically(folder / OPTIMIZED_RECORD, json.dumps({"name": bundle.name, "files": files}, indent=1))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path == folder else 0o644)


def _usable(folder: Path, *, told: bool = False) -> bool:
    """Return whether a copy is there, ours, and as it was written. Mark it as used.

    Args:
        folder: of the copy.
        told: whether the user knows already why it cannot be used.
    """
    record = folder / OPTIMIZED_RECORD
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise BundleError(f"{folder} is no folder")
        for path in (folder.parent, folder, *folder.iterdir()):
            _check_own(path)
        files = recorded_files(Fields(read_json(record, _LARGEST_RECORD), str(record)).section("files"))
        if not {f"{name}.onnx" for name in GRAPHS} <= set(files):
            raise BundleError(f"{record} lists no graphs")
        check_files(folder, files)
    except FileNotFoundError:
        return False
    except (OSError, FieldError, BundleError) as error:
        # The remedies of the last two are those of a model, and not needed.
        fault = error if isinstance(error, OSError) else f"{folder} is damaged. It is made again."
        logger.log(logging.DEBUG if told else logging.WARNING, "An optimized copy is not used: %s", fault)
        return False
    with contextlib.suppress(OSError):
        os.utime(record)
    return True


def _check_own(path: Path) -> None:
    """Refuse links, and what others than this user and the administrator may have written.

    Raises:
        OSError: it is one.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise OSError(f"{path} is a link")
    if hasattr(os, "getuid") and (found.st_uid not in {0, os.getuid()} or found.st_mode & 0o022):
        raise OSError(f"{path} may have been written by another user")


def _beyond(limit: int, newest: Path) -> Iterator[OptimizedCopy]:
    """Yield the copies, those that were used last first kept, that exceed the limit together with the newest."""
    total = _size(newest)
    for copy in copies():
        if copy.path != newest:
            total += copy.size
            if total > limit:
                yield copy


def _key(bundle: Bundle) -> str:
    """Return a name for the content of a bundle, the version of ONNX Runtime, its options and the processor."""
    known = KnownHashes()
    files = [f"{path.name} {known.sha256(path)}" for path in _graph_files(bundle.path)]
    known.save()
    parts = [_FORMAT, VERSION, bundle.reduce_range, multiplies_signed_exactly(), *_processor(), *files]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def _graph_files(folder: Path) -> list[Path]:
    """Return the files of a bundle's graphs and weights."""
    return sorted(path for path in folder.iterdir() if path.name.startswith(GRAPHS) or path.suffix in _WEIGHTS)


def _processor() -> list[str]:
    """Return what the kernels of ONNX Runtime depend on: architecture, model and instruction sets."""
    known = [sys.platform, platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
        wanted = ("vendor_id", "cpu family", "model", "stepping", "flags", "Features", "CPU implementer", "CPU part")
        known += [line for line in lines if line.startswith(wanted)]
    return known


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _folder() -> Path:
    return cache_home() / "optimized"


def _limit() -> int:
    """Return the most bytes of all copies together."""
    given = os.environ.get(LIMIT_VARIABLE, "")
    try:
        return int(float(given or _DEFAULT_LIMIT_MB) * 10**6)
    except ValueError:
        logger.warning("%s=%s is no number. Give the megabytes that copies may have together.", LIMIT_VARIABLE, given)
        return _DEFAULT_LIMIT_MB * 10**6
