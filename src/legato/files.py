"""Files on disk: replaced as a whole, and identified by their SHA-256."""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

Progress = Callable[[str, int, int], None]
"""Called with the name of a file, and what is done and what is to do in all: bytes or weights."""


class IrregularFileError(OSError):
    """What is at a path is no regular file of Legato: a link, a folder, a pipe or a device."""


@contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a new binary file that takes the place of `path` when the block ends.

    Readers find the old contents or the new ones, never a part. If the block raises, `path` stays as it was and the new
    file is deleted. A caller whose data must survive a power failure calls `os.fsync` on the file inside the block.
    A link is replaced, not followed.

    Raises:
        IrregularFileError: `path` is a pipe or a device, or leads to one.
        OSError: the file cannot be written.
    """
    check_replaceable(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")  # short: the name of `path` may be as long as allowed
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def check_replaceable(path: Path) -> None:
    """Raise IrregularFileError if `path` is a pipe, a socket or a device, or a link to one: no file replaces these."""
    try:
        mode = path.stat().st_mode
    except OSError:  # there is nothing, or a link to nothing; the caller finds out what else is wrong
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise IrregularFileError(errno.EINVAL, "it is not a regular file", str(path))


def write_text_atomically(path: Path, text: str) -> None:
    """Replace the contents of `path` with a text in UTF-8; line ends stay as they are. Errors as above."""
    with write_atomically(path) as file:
        file.write(text.encode())


def open_regular(path: Path, mode: Literal["rb", "ab"], *, links: bool = False) -> BinaryIO:
    """Open a file for reading or appending, unbuffered, if it is a regular file.

    Somebody else may have put a link to another file, a pipe or a device where a program expects a file of its own.
    A pipe or a device in place of a file that the user names would be read without end.

    Args:
        links: whether it may be a link to a regular file. A file that Legato writes itself is none.

    Raises:
        IrregularFileError: it is something else.
        OSError: it cannot be opened.
    """
    flags = os.O_RDONLY if mode == "rb" else os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for name in ("O_NONBLOCK", "O_BINARY", "O_CLOEXEC", *(() if links else ("O_NOFOLLOW",))):
        flags |= getattr(os, name, 0)  # not every system has each
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP and not links:
            raise IrregularFileError(errno.ELOOP, "it is a link to another place", str(path)) from None
        if error.errno == errno.ENXIO:  # a pipe that nobody reads, or a socket
            raise IrregularFileError(errno.EINVAL, "it is not a regular file", str(path)) from None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IrregularFileError(errno.EISDIR, "it is a directory", str(path))
        raise IrregularFileError(errno.EINVAL, "it is not a regular file", str(path))
    return cast("BinaryIO", os.fdopen(descriptor, mode, buffering=0))


def read_regular(path: Path, most: int) -> bytes:
    """Return the contents of a regular file, or of one that a link leads to.

    Args:
        most: bytes that such a file has at most.

    Raises:
        OSError: it is no regular file, is larger, or cannot be read.
    """
    with open_regular(path, "rb", links=True) as file:
        data = file.read(most + 1)
        while len(data) <= most and (more := file.read(most + 1 - len(data))):
            data += more
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most / 1e6:g} MB", str(path))
    return data


def describe_size(size: float) -> str:
    """Return a number of bytes as a text with three digits or more: `1.80 kB`, `679 MB`, `2.55 GB`."""
    unit, factor = ("kB", 1e3) if size < 1e6 else ("MB", 1e6) if size < 1e9 else ("GB", 1e9)
    number = size / factor
    return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {unit}"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
