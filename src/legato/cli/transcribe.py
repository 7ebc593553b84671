"""`legato transcribe`: files or live PCM to text."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from legato.cli.errors import FAILED, INTERRUPTED, guarded, say, say_error
from legato.errors import LegatoError

if TYPE_CHECKING:
    from legato.audio import Samples
    from legato.models import ResolvedModel
    from legato.recognizer import Recognizer
    from legato.transcript import Transcript

_LONG_SECONDS = 10.0


class Format(StrEnum):
    """Kinds of output."""

    TXT = "txt"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"


@guarded
def transcribe(
    *,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Audio or video files, folders or addresses (https://...); - is raw 16-bit 16 kHz mono PCM.",
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="Name or folder of a model; see 'legato models'. Default: the best at hand.")
    ] = None,
    language: Annotated[str, typer.Option(help="Spoken language, such as en-US or de; auto detects it.")] = "auto",
    chunk_ms: Annotated[int, typer.Option(help="How far ahead the model looks: 80, 160, 320, 560 or 1120.")] = 320,
    kind: Annotated[Format, typer.Option("--format", help="Kind of output.")] = Format.TXT,
    output: Annotated[
        Path | None,
        typer.Option("--output", "--output-dir", metavar="DIR", help="Write a file for each input into this folder."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. Default: the cores at hand.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Folders with all that is in them.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Files at once, each to a file of its own. Default for folders: 4."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do again what has a result (folders, --jobs).")
    ] = False,
) -> None:
    """Recognise speech in files, or live on standard input."""
    from legato import load
    from legato.cli.output import make_folder, partial_path, print_result, result_paths, write_result
    from legato.models import resolve

    several = len(files) > 1
    many = recursive or jobs is not None or all(Path(file).is_dir() for file in files)
    if (several or many) and "-" in files:
        raise typer.BadParameter("- (standard input) cannot be combined with files.", param_hint="FILE...")
    if overwrite and not many:
        raise typer.BadParameter(
            "it is for folders and --jobs; other results are always written.", param_hint="--overwrite"
        )
    if several and not many and output is None and kind in {Format.SRT, Format.VTT}:
        raise typer.BadParameter(f"{kind} of several files needs --output DIR.", param_hint="--format")
    if output is not None:
        make_folder(output)
    targets = result_paths(files, output, kind) if output is not None and not many else [None] * len(files)
    resolved = resolve(model)
    if model is None:
        say(_which(resolved))
    recognizer = load(resolved.path, threads=threads)
    with recognizer.stream(language=language, chunk_ms=chunk_ms):
        pass  # a language or chunk size that the model does not have is told once, not for every file
    name = recognizer.bundle.name if resolved.source == "path" else resolved.name
    if files == ["-"]:
        _live(recognizer, name, targets[0], kind, language=language, chunk_ms=chunk_ms)
        return
    if many:
        from legato.cli.many import transcribe_many

        transcribe_many(
            recognizer, name, files, output, kind,
            language=language, chunk_ms=chunk_ms, recursive=recursive, jobs=jobs or 4, overwrite=overwrite,
        )  # fmt: skip
        return
    failed = interrupted = False
    for file, target in zip(files, targets, strict=True):
        try:
            with _progress(file) as progress:
                if several:  # Ctrl-C drops the file that is being read: the others are done
                    transcript = recognizer.transcribe(file, language=language, chunk_ms=chunk_ms, progress=progress)
                else:
                    transcript, interrupted = _one(
                        recognizer, file, language=language, chunk_ms=chunk_ms, progress=progress
                    )
            if interrupted and target is not None:
                target = partial_path(target)  # noqa: PLW2901
            if target is None:
                print_result(transcript, kind, name=file, model=name, several=several)
            else:
                write_result(target, transcript, kind, name=file, model=name)
        except LegatoError as error:
            say_error(error)
            failed = True
    if interrupted:
        where = f", in {target}" if target is not None else ""
        say(f"legato: interrupted at {transcript.duration:.2f} s of {files[0]}; what was heard is written{where}")
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(FAILED)


def _one(
    recognizer: "Recognizer", file: str, *, language: str, chunk_ms: int, progress: Callable[[float], None] | None
) -> tuple["Transcript", bool]:
    """Transcribe one file until its end or Ctrl-C; the flag says that it was Ctrl-C."""
    from legato.audio import open_audio
    from legato.cli.interrupt import Interruptible

    with open_audio(file) as audio, Interruptible() as source:
        audio.block_seconds = 1.0  # what Ctrl-C can cost
        heard = False

        def blocks() -> Iterator["Samples"]:
            nonlocal heard
            for block in source.blocks(audio):
                heard = True
                yield block

        try:
            transcript = recognizer.transcribe(blocks(), language=language, chunk_ms=chunk_ms, progress=progress)
        except LegatoError:
            if source.interrupted and not heard:
                raise KeyboardInterrupt from None
            raise
        for warning in audio.warnings:
            say_error(f"{file}: {warning}")
    return transcript, source.interrupted


def _live(
    recognizer: "Recognizer", model: str, target: Path | None, kind: Format, *, language: str, chunk_ms: int
) -> None:
    from legato.cli.live import transcribe_live
    from legato.cli.output import print_result, write_result

    show = target is None and kind is Format.TXT
    transcript, interrupted = transcribe_live(recognizer, language=language, chunk_ms=chunk_ms, show=show)
    if target is not None:
        write_result(target, transcript, kind, name="-", model=model)
    elif not show:
        print_result(transcript, kind, name="-", model=model, several=False)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _which(model: "ResolvedModel") -> str:
    if model.source == "embedded":
        return "Model: embedded, a small one for spoken numbers; the full one: legato models download nemotron-3.5-int8"
    return f"Model: {model.name}; others: --model NAME, see 'legato models'"


@contextmanager
def _progress(file: str) -> Iterator[Callable[[float], None] | None]:
    """A bar on standard error while a long file is being transcribed; None where it would disturb."""
    seconds = _long(file) if sys.stderr.isatty() else None
    if seconds is None:
        yield None
        return
    from legato.cli.progress import seconds_bar

    with seconds_bar(Path(file).name, seconds) as update:
        yield update


def _long(file: str) -> float | None:
    """Seconds of a long file; None of a short one, or when it does not say."""
    from legato.audio import open_audio

    if not Path(file).is_file():  # a pipe can be opened only once
        return None
    try:
        with open_audio(file) as audio:
            return audio.duration if (audio.duration or 0) >= _LONG_SECONDS else None
    except LegatoError:
        return None  # the transcription will say it
