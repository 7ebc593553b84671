"""`legato transcribe` with files: one after the other, each result as soon as it is there."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import typer

from legato.audio.blocks import AudioBlocks
from legato.audio.source import open_audio
from legato.batch import Result, transcribe_channels
from legato.cli.console import say, say_error, say_warnings
from legato.cli.errors import FAILED, PARTIAL
from legato.cli.files import check_exists, check_writable, partial_path, print_result, write_result
from legato.cli.interrupt import Interruptible, exit_code
from legato.cli.job import Files
from legato.cli.model import Model
from legato.cli.progress import seconds_bar
from legato.errors import AudioError, LegatoError, OutputError
from legato.model.languages import AUTO
from legato.options import StreamOptions
from legato.recognizer import Recognizer
from legato.types import Samples, Transcript

_LONG_SECONDS = 10.0

Progress = Callable[[float], None]


def check_files(job: Files) -> None:
    """Check, before the model is loaded, that at least one file exists and its result can be written.

    Raises:
        typer.Exit: no file can be done; the reasons are printed.
    """
    problems = [
        _problem(name, targets, job.names)
        for name, targets in zip(job.names, job.destination.targets(job.names), strict=True)
    ]
    if all(problems):
        for problem in problems:
            say_error(str(problem))
        raise typer.Exit(FAILED)


def transcribe_files(job: Files, model: Model, options: StreamOptions) -> None:
    """Transcribe files. A file that fails does not keep the others from being done.

    An interrupt gives up the file that is being read, unless it is the only one: then the text so far is the result.

    Raises:
        OutputError: there is no room for any result.
        typer.Exit: a file failed (2), of a file only a part could be read (3), or an interrupt came (130).
    """
    codes = {0}
    single = len(job.names) == 1 and job.channels != "split"
    for name, targets in zip(job.names, job.destination.targets(job.names), strict=True):
        try:
            if problem := _problem(name, targets, job.names):
                raise problem
            with _shown(name) as progress:
                result, interrupt = _transcribe(job, name, model.recognizer, options, progress, interruptible=single)
            paths = [*map(partial_path, targets)] if interrupt else targets
            _deliver(result, paths, job, model)
        except LegatoError as error:
            if isinstance(error, OutputError) and (error.no_room or not targets):  # nor can the others be written
                raise
            say_error(error)
            codes.add(FAILED)
            continue
        if interrupt is not None:
            _say_interrupted(result, paths)
            raise typer.Exit(exit_code(interrupt))
        if result.transcript and result.transcript.partial:
            codes.add(PARTIAL)
    for code in (FAILED, PARTIAL):
        if code in codes:
            raise typer.Exit(code)


def _problem(name: str, targets: Sequence[Path], inputs: Sequence[str]) -> LegatoError | None:
    """Return why a file cannot be done, as far as it shows without reading it."""
    try:
        check_exists(name)
        for target in targets:
            check_writable(target, inputs)
    except (AudioError, OutputError) as error:
        return error
    return None


def _transcribe(
    job: Files,
    name: str,
    recognizer: Recognizer,
    options: StreamOptions,
    progress: Progress | None,
    *,
    interruptible: bool,
) -> tuple[Result, KeyboardInterrupt | None]:
    """Transcribe a file, until an interrupt comes if it is `interruptible`; the interrupt is returned.

    Raises:
        KeyboardInterrupt: it came before any audio.
    """
    received = False

    def noted(blocks: Iterator[Samples]) -> Iterator[Samples]:
        nonlocal received
        for block in blocks:
            received = True
            yield block

    def transcribe(audio: AudioBlocks) -> Transcript:
        if not interruptible:
            return recognizer.transcribe(iter(audio), options, progress=progress)
        audio.block_seconds = 1.0  # what an interrupt can lose
        transcript = recognizer.transcribe(noted(source.blocks(audio)), options, progress=progress)
        return replace(transcript, partial=source.cause is not None)

    if not interruptible:
        return transcribe_channels(name, transcribe, channels=job.channels, track=job.track), None
    with Interruptible() as source:
        try:
            return transcribe_channels(name, transcribe, channels=job.channels, track=job.track), source.cause
        except LegatoError:
            if source.cause is not None and not received:
                raise source.cause from None
            raise


def _deliver(result: Result, paths: Sequence[Path], job: Files, model: Model) -> None:
    """Write or print a result, and print what is wrong with the file."""
    assert result.transcript is not None
    say_warnings(result.name, result.warnings)
    if job.options.language == AUTO and result.transcript.language and sys.stderr.isatty():
        say(f"{result.name}: {result.transcript.language} (detected)")
    kinds = job.destination.kinds
    for path, kind in zip(paths, kinds, strict=False):
        write_result(path, result.transcript, kind, name=result.name, model=model.name, telling=True)
    if not paths:
        several = len(job.names) > 1
        print_result(result.transcript, kinds[0], name=result.name, model=model.name, several=several)


def _say_interrupted(result: Result, paths: Sequence[Path]) -> None:
    assert result.transcript is not None
    where = f" in {', '.join(map(str, paths))}" if paths else ""
    seconds = result.transcript.duration
    say(f"legato: interrupted at {seconds:.2f} s of {result.name}; the text up to there is written{where}")


@contextmanager
def _shown(name: str) -> Iterator[Progress | None]:
    """Show the progress of a long file on a terminal; yields None where nothing is shown."""
    seconds = _duration(name) if sys.stderr.isatty() else None
    if seconds is None or seconds < _LONG_SECONDS:
        yield None
        return
    with seconds_bar(Path(name).name, seconds) as update:
        yield update


def _duration(name: str) -> float | None:
    """Return the seconds of a file according to its header; None if it does not say, or can be opened only once."""
    if not Path(name).is_file():
        return None
    try:
        with open_audio(name) as audio:
            return audio.duration
    except LegatoError:
        return None  # the transcription reports it
