"""Unpacks a NeMo archive, a tar that may be gzipped, within bounds: an altered one fills neither disk nor memory."""

import gzip
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import yaml

from legato.errors import CheckpointError

CONFIG, WEIGHTS = "model_config.yaml", "model_weights.ckpt"
#: Weights shrink to 85 % or more of their size with gzip. Ten times its size is a bomb.
_RATIO = 10
_MEMBERS = 1000
_BLOCK = 1 << 20
#: A configuration with 13,000 labels has 0.4 MB and 30,000 events of the parser.
_CONFIG_BYTES = 8 << 20
_EVENTS = 300_000
_NESTING = 50
#: NeMo writes no aliases. A few may come from editing by hand; many make a small file expand without limit.
_ALIASES = 100


def unpack(path: Path, folder: Path) -> None:
    """Unpack the regular files at the top level of an archive. Links, devices and paths with folders are skipped.

    Args:
        folder: an empty folder.

    Raises:
        CheckpointError: it is not an archive of a model, is truncated, or expands beyond ten times its size.
    """
    room = _RATIO * path.stat().st_size + _BLOCK
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        if packed:
            plain = folder / ".archive.tar"
            with gzip.open(path) as source:
                _copy(source, plain, room)
            _unpack_tar(plain, folder, room)
            plain.unlink()
        else:
            _unpack_tar(path, folder, room)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: not a .nemo archive, or truncated ({error}).") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{path}: contains no {name}, so it is not a .nemo archive of a model.")


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of an unpacked archive.

    Raises:
        CheckpointError: it is not plain YAML, or is larger or deeper than any model's.
    """
    file = folder / CONFIG
    if file.stat().st_size > _CONFIG_BYTES:
        raise CheckpointError(f"its {CONFIG} has more than {_CONFIG_BYTES >> 20} MB. Refused.")
    try:
        text = file.read_text("utf-8")
        _check_events(text)
        config = yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise CheckpointError(f"its {CONFIG} is not plain YAML ({error}).") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"its {CONFIG} contains no settings.")
    return config


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _check_events(text: str) -> None:
    depth = aliases = 0
    for number, event in enumerate(yaml.parse(text, _LOADER)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        if depth > _NESTING or aliases > _ALIASES or number > _EVENTS:
            raise ValueError(f"nested more than {_NESTING} deep, or with too many aliases or parts")


def _unpack_tar(path: Path, folder: Path, room: int) -> None:
    with tarfile.open(path, "r:") as archive:
        for number, member in enumerate(archive):
            if number == _MEMBERS:
                raise CheckpointError(f"contains more than {_MEMBERS} entries. Refused.")
            if member.issparse():
                raise CheckpointError(f"its {member.name} is a sparse file, which NeMo never writes. Refused.")
            inside = PurePosixPath(member.name)
            if not member.isfile() or len([part for part in inside.parts if part != "."]) != 1:
                continue
            source = archive.extractfile(member)
            assert source is not None
            with source:
                room -= _copy(source, folder / inside.name, room)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _copy(source: _Readable, target: Path, room: int) -> int:
    """Copy at most `room` bytes, and return their number."""
    copied = 0
    with target.open("wb") as file:
        while block := source.read(_BLOCK):
            copied += len(block)
            if copied > room:
                raise CheckpointError(f"expands to more than {_RATIO} times its size. Refused.")
            file.write(block)
    return copied
