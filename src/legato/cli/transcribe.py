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
    from legato.models import ResolvedModel
    from legato.phrases import Phrase
    from legato.recognizer import Options, Recognizer

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
        list[str], typer.Argument(metavar="FILE...", help="Audio or video files; - is raw 16-bit 16 kHz mono PCM.")
    ],
    model: Annotated[
        str | None, typer.Option(help="Name or folder of a model; see 'legato models'. Default: the best at hand.")
    ] = None,
    language: Annotated[str, typer.Option(help="Spoken language, such as en-US or de; auto detects it.")] = "auto",
    chunk_ms: Annotated[int, typer.Option(help="How far ahead the model looks: 80, 160, 320, 560 or 1120.")] = 320,
    kind: Annotated[Format, typer.Option("--format", help="Kind of output.")] = Format.TXT,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a file for each input into this folder.")
    ] = None,
    phrase: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT[=WEIGHT]", help="Recognise this more readily; may be given again. Weight: 2 nats a token."
        ),
    ] = None,
    beam: Annotated[
        int, typer.Option(min=1, max=64, help="Hypotheses kept by beam search; 1 is greedy, the quickest.")
    ] = 1,
    lm: Annotated[
        Path | None, typer.Option(metavar="FILE", help="N-gram over the model's pieces (ARPA), for --beam 4 or more.")
    ] = None,
    lm_weight: Annotated[float, typer.Option(min=0, max=2, help="Weight of the n-gram.")] = 0.3,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads. Default: the cores at hand.")] = None,
) -> None:
    """Recognise speech in files, or live on standard input."""
    from legato import load
    from legato.cli.output import make_folder, print_result, result_paths, write_result
    from legato.models import resolve

    several = len(files) > 1
    if several and "-" in files:
        raise typer.BadParameter("- (standard input) cannot be combined with files.", param_hint="FILE...")
    if several and output is None and kind in {Format.SRT, Format.VTT}:
        raise typer.BadParameter(f"{kind} of several files needs --output DIR.", param_hint="--format")
    if output is not None:
        make_folder(output)
    targets = result_paths(files, output, kind) if output is not None else [None] * len(files)
    resolved = resolve(model)
    if model is None:
        say(_which(resolved))
    recognizer = load(resolved.path, threads=threads)
    options: Options = {
        "language": language,
        "chunk_ms": chunk_ms,
        "phrases": recognizer.compile_phrases([weighted(text) for text in phrase or []]),
        "beam": beam,
        "lm": recognizer.open_ngram(lm) if lm is not None else None,
        "lm_weight": lm_weight,
    }
    with recognizer.stream(**options):
        pass  # a language or chunk size that the model does not have is told once, not for every file
    name = recognizer.bundle.name if resolved.source == "path" else resolved.name
    if files == ["-"]:
        _live(recognizer, name, targets[0], kind, options)
        return
    failed = False
    for file, target in zip(files, targets, strict=True):
        try:
            with _progress(file) as progress:
                transcript = recognizer.transcribe(file, **options, progress=progress)
            if target is None:
                print_result(transcript, kind, name=file, model=name, several=several)
            else:
                write_result(target, transcript, kind, name=file, model=name)
        except LegatoError as error:
            say_error(error)
            failed = True
    if failed:
        raise typer.Exit(FAILED)


def weighted(text: str) -> "Phrase":
    """`TEXT` or `TEXT=WEIGHT`; what stands behind the last `=` is a weight only if it is a number."""
    phrase, found, weight = text.rpartition("=")
    try:
        return (phrase, float(weight)) if found else text
    except ValueError:
        return text


def _live(recognizer: "Recognizer", model: str, target: Path | None, kind: Format, options: "Options") -> None:
    from legato.cli.live import transcribe_live
    from legato.cli.output import print_result, write_result

    show = target is None and kind is Format.TXT
    transcript, interrupted = transcribe_live(recognizer, options, show=show)
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
