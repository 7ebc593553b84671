"""Where results go: standard output, or files that appear complete or not at all."""

import errno
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import typer

from legato.audio.addresses import is_url
from legato.cli.console import cannot_write, put, say
from legato.errors import AudioError, LegatoError, OutputError
from legato.files import check_replaceable, write_atomically
from legato.text.formats import WRITERS, as_dict, base_format, json_line, writer_of_format
from legato.text.template import compile_template
from legato.types import Transcript


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go, and in which formats. Without a folder and a file they are printed.

    Attributes:
        kinds: keys of WRITERS, those of subtitles perhaps with a style, or one template.
        folder: gets a file per input and format.
        file: gets the result of the only input in the only format.
    """

    kinds: tuple[str, ...]
    folder: Path | None = None
    file: Path | None = None

    @property
    def template(self) -> str | None:
        """The template, if there is one."""
        return None if base_format(self.kinds[0]) in WRITERS else self.kinds[0]

    @property
    def prints(self) -> bool:
        """Whether results are printed."""
        return self.folder is None and self.file is None

    def prepare(self) -> None:
        """Make the folder if it does not exist.

        Raises:
            LegatoError: it cannot be made.
        """
        if self.file is not None:
            make_folder(self.file.parent)
        elif self.folder is not None:
            make_folder(self.folder)

    def targets(self, names: Sequence[str]) -> list[tuple[Path, ...]]:
        """Return the files for the results of each input: one per format; none where results are printed."""
        if self.file is not None:
            return [(self.file,)]
        if self.folder is None:
            return [() for _ in names]
        by_kind = (result_paths(names, self.folder, kind) for kind in self.kinds)
        return list(zip(*by_kind, strict=True))


def print_result(transcript: Transcript, kind: str, *, name: str, model: str, several: bool) -> None:
    """Print a transcript on standard output.

    Args:
        kind: a key of WRITERS, or a template.
        several: several results share the output: each line of text starts with the name, JSON is one object per line.
    """
    if several and kind == "json":
        text = json_line(as_dict(transcript, model=model, file=name))
    else:
        text = writer_of(kind)(transcript, model=model, file=name)
        if several and kind == "txt":
            lines = [line for line in text.splitlines(keepends=True) if line.strip()] or ["\n"]
            text = "".join(f"{' '.join(name.splitlines())}: {line}" for line in lines)
    put(text)


def write_result(
    path: Path,
    transcript: Transcript,
    kind: str,
    *,
    name: str,
    model: str,
    note: Callable[[bytes], None] | None = None,
    telling: bool = False,
) -> None:
    """Write a transcript to a file, which appears complete or not at all.

    Args:
        kind: a key of WRITERS, or a template.
        note: is called with the contents after they are on the disk and before the file gets its name.
        telling: whether to tell the user that an existing file was replaced.

    Raises:
        OutputError: the file cannot be written.
    """
    data = writer_of(kind)(transcript, model=model, file=name).encode("utf-8", "replace")
    replaced = telling and path.is_file()
    try:
        with write_atomically(path) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a power cut must not leave a name without contents
            if note:
                note(data)
    except OSError as error:
        raise cannot_write(path, error) from None
    if replaced:
        say(f"legato: {path} was there and is replaced.")


def check_exists(name: str) -> None:
    """Check that a file exists; of an address that shows only when it is opened.

    Raises:
        AudioError: there is none, or it must not be read.
    """
    if is_url(name) or name.lower().startswith("file://"):
        return
    try:
        Path(name).stat()
    except FileNotFoundError:
        raise AudioError(f"{name}: there is no such file. Check the path.") from None
    except OSError as error:
        problem = f"{name}: cannot be opened: {error.strerror}. Check the path and its permissions."
        raise AudioError(problem) from None


def check_writable(path: Path, inputs: Sequence[str] = ()) -> None:
    """Check that a result can be written, before the work that makes it.

    Args:
        inputs: files and addresses that are read, which no result may replace.

    Raises:
        OutputError: the path is one of the inputs, a folder, a pipe or a device, its name is too long, or its folder is
            read-only.
    """
    try:
        if path.exists() and any(os.path.exists(name) and path.samefile(name) for name in inputs):  # noqa: PTH110
            raise OutputError(f"{path}: this file is read. Give its result another name or folder with --output.")
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        check_replaceable(path)
        with tempfile.TemporaryFile(dir=_existing(path.parent)):
            pass
    except OSError as error:
        raise cannot_write(path, error) from None


def _existing(folder: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)


def is_folder(name: str | Path) -> bool:
    """Return whether a name is that of a folder; a name that the system refuses is none."""
    return os.path.isdir(name)  # noqa: PTH112 - the method of Path raises an error for such a name


def format_of(path: Path) -> str:
    """Return the ending of a name as the format that it asks for; empty if it has none."""
    return path.suffix.lower().removeprefix(".")


def unknown_ending(path: Path) -> str:
    """Return the message for a name whose ending is no format."""
    known = ", ".join(f".{each}" for each in WRITERS)
    return f"{path}: {path.suffix} is not the ending of a format; those are {known}."


def writer_of(kind: str) -> Callable[..., str]:
    """Return the writer of a format, or of a template.

    Raises:
        LegatoError: the template or the style is invalid.
    """
    return writer_of_format(kind) if base_format(kind) in WRITERS else compile_template(kind)


def check_folder_name(folder: Path, endings: Sequence[str], hint: str) -> None:
    """Refuse the name of a file for the folder of a command that writes several files.

    Args:
        folder: the folder.
        endings: of the files that somebody may expect instead. Others are parts of names, as in `model-0.6b`.
        hint: the option or argument that names it.

    Raises:
        typer.BadParameter: the name has one of the endings, and is not that of a folder that exists.
    """
    if folder.suffix.lower() in endings and not is_folder(folder):
        raise typer.BadParameter(
            f"{folder} is the name of a file, and the results are several files. Give a name without {folder.suffix}: "
            f"{folder.stem} becomes their folder.",
            param_hint=hint,
        )


def make_folder(folder: Path) -> None:
    """Make the folder for results if it does not exist.

    Raises:
        LegatoError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        special = folder.is_char_device() or folder.is_block_device()
        kind = "a device" if special else "a file" if folder.is_file() else "no folder"
        raise LegatoError(f"{folder} is {kind}. Give --output the name of a folder.") from None
    except OSError as error:
        raise cannot_write(folder, error) from None


def result_paths(names: Sequence[str], folder: Path, kind: str) -> list[Path]:
    """Return a file for each input: NAME.KIND, or the input's full name or a number where names would clash."""
    stems = [Path(_file_name(name)).stem for name in names]
    full = [_file_name(name) for name in names]
    folded = [stem.casefold() for stem in stems]
    wanted = [long if folded.count(stem.casefold()) > 1 else stem for stem, long in zip(stems, full, strict=True)]
    taken: set[str] = set()
    suffix = base_format(kind) if base_format(kind) in WRITERS else "txt"
    paths = []
    for name in wanted:
        free, number = name, 1
        while free.casefold() in taken:
            number += 1
            free = f"{name}-{number}"
        taken.add(free.casefold())
        paths.append(folder / f"{free}.{suffix}")
    return paths


def partial_path(path: Path) -> Path:
    """Return the file for a result that ends early, so that it is never taken for a complete one."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def _file_name(name: str) -> str:
    """Return the file name of an input; for an address the last part of its path, or the host."""
    if name == "-":
        return "stdin"
    if is_url(name):
        parts = urlsplit(name)
        return Path(unquote(parts.path)).name or parts.hostname or parts.scheme
    return Path(name).name
