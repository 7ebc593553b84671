"""Where results go: standard output, or one file an input in a folder."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from legato.audio.source import is_url
from legato.cli.writing import cannot_write, put
from legato.errors import LegatoError
from legato.text.formats import WRITERS, as_dict, json_line
from legato.text.template import compile_template
from legato.types import Transcript


def print_result(transcript: Transcript, kind: str, *, name: str, model: str, several: bool) -> None:
    """Print a transcript on standard output at once.

    Args:
        transcript: what was recognised.
        kind: a key of WRITERS, or a template.
        name: of the audio.
        model: name of the model.
        several: other results share the output: text gets its name in front, JSON is one object a line.
    """
    if several and kind == "json":
        text = json_line(as_dict(transcript, model=model, file=name))
    else:
        text = writer_of(kind)(transcript, model=model, file=name)
        if several and kind == "txt":
            text = "".join(f"{name}: {line}" for line in text.splitlines(keepends=True))
    put(text)


def write_result(
    path: Path,
    transcript: Transcript,
    kind: str,
    *,
    name: str,
    model: str,
    note: Callable[[bytes], None] | None = None,
) -> None:
    """Write a transcript to a file, which appears complete or not at all.

    Args:
        path: the file.
        transcript: what was recognised.
        kind: a key of WRITERS, or a template.
        name: of the audio.
        model: name of the model.
        note: is called with the contents when they are on the disk, just before they get their name.

    Raises:
        OutputError: it cannot be written.
    """
    data = writer_of(kind)(transcript, model=model, file=name).encode("utf-8", "replace")
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a name must not survive a power cut that its text did not
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        if note:
            note(data)
        Path(temporary).replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()


def writer_of(kind: str) -> Callable[..., str]:
    """Give the writer of a format, or of a template, which is what holds a brace.

    Raises:
        LegatoError: a template that is wrong.
    """
    return WRITERS[kind] if kind in WRITERS else compile_template(kind)


def make_folder(folder: Path) -> None:
    """Make the folder for results if it is not there.

    Raises:
        LegatoError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise LegatoError(f"{folder} is a file. Give --output the name of a folder.") from None
    except OSError as error:
        raise cannot_write(folder, error) from None


def result_paths(names: Sequence[str], folder: Path, kind: str) -> list[Path]:
    """Give each input its own file: NAME.KIND, with the input's extension or a number where names would clash."""
    stems = [Path(_plain_name(name)).stem for name in names]
    full = [_plain_name(name) for name in names]
    folded = [stem.casefold() for stem in stems]
    wanted = [long if folded.count(stem.casefold()) > 1 else stem for stem, long in zip(stems, full, strict=True)]
    taken: set[str] = set()
    paths = []
    for name in wanted:
        free, number = name, 1
        while free.casefold() in taken:
            number += 1
            free = f"{name}-{number}"
        taken.add(free.casefold())
        paths.append(folder / f"{free}.{kind if kind in WRITERS else 'txt'}")
    return paths


def partial_path(path: Path) -> Path:
    """Where the result of a file goes that was not heard to its end: never taken for a complete one."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def _plain_name(name: str) -> str:
    """File name of an input: of an address, the last part of its path, or the host."""
    if name == "-":
        return "stdin"
    if is_url(name):
        parts = urlsplit(name)
        return Path(unquote(parts.path)).name or parts.hostname or parts.scheme
    return Path(name).name
