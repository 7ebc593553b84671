"""Where results go: standard output, or one file an input in a folder."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from legato.errors import LegatoError
from legato.formats import WRITERS, as_dict, json_line
from legato.template import compile_template
from legato.transcript import Transcript


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
    sys.stdout.write(text)
    sys.stdout.flush()


def write_result(path: Path, transcript: Transcript, kind: str, *, name: str, model: str) -> None:
    """Write a transcript to a file, which appears complete or not at all.

    Raises:
        LegatoError: it cannot be written.
    """
    text = writer_of(kind)(transcript, model=model, file=name)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise _cannot_write(path, error) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from None
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
        raise _cannot_write(folder, error) from None


def result_paths(names: Sequence[str], folder: Path, kind: str) -> list[Path]:
    """Give each input its own file: NAME.KIND, with the input's extension or a number where names would clash."""
    stems = ["stdin" if name == "-" else Path(name).stem for name in names]
    full = ["stdin" if name == "-" else Path(name).name for name in names]
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


def _cannot_write(path: Path, error: OSError) -> LegatoError:
    return LegatoError(f"{path}: cannot be written: {error.strerror}. Give --output a folder with room and permission.")
