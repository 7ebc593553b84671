"""`legato transcribe` with files: one after the other, each result as soon as it is there."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from legato.audio.source import open_audio
from legato.cli.console import say, say_error
from legato.cli.errors import FAILED
from legato.cli.files import partial_path, print_result, write_result
from legato.cli.interrupt import Interruptible, exit_code
from legato.cli.job import Files
from legato.cli.model import Model
from legato.cli.progress import seconds_bar
from legato.errors import LegatoError, OutputError
from legato.options import StreamOptions
from legato.recognizer import Recognizer
from legato.types import Samples, Transcript

_LONG_SECONDS = 10.0

Progress = Callable[[float], None]


def transcribe_files(job: Files, model: Model, options: StreamOptions) -> None:
    """Transcribe files. A file that fails does not keep the others from being done.

    An interrupt gives up the file that is being read, unless it is the only one: then the text so far is the result.

    Args:
        job: the job.
        model: the model.
        options: options of each stream, compiled.

    Raises:
        OutputError: there is no room for any result.
        typer.Exit: a file failed (2), or an interrupt came (130); the results up to then are written.
    """
    several = len(job.names) > 1
    failed = False
    for name, targets in zip(job.names, job.destination.targets(job.names), strict=True):
        interrupt: KeyboardInterrupt | None = None
        try:
            with _shown(name) as progress:
                if several or job.channels == "split":
                    transcript = model.recognizer.transcribe(name, options, channels=job.channels, progress=progress)
                else:
                    channel = None if job.channels == "mix" else job.channels
                    transcript, interrupt = _until_interrupt(model.recognizer, name, channel, options, progress)
            paths = [*map(partial_path, targets)] if interrupt else list(targets)
            for path, kind in zip(paths, job.destination.kinds, strict=False):
                write_result(path, transcript, kind, name=name, model=model.name)
            if not paths:
                print_result(transcript, job.destination.kinds[0], name=name, model=model.name, several=several)
        except LegatoError as error:
            if isinstance(error, OutputError) and (error.no_room or not targets):  # nor can the others be written
                raise
            say_error(error)
            failed = True
        if interrupt is not None:
            where = f" in {', '.join(map(str, paths))}" if paths else ""
            say(f"legato: interrupted at {transcript.duration:.2f} s of {name}; the text up to there is written{where}")
            raise typer.Exit(exit_code(interrupt))
    if failed:
        raise typer.Exit(FAILED)


def _until_interrupt(
    recognizer: Recognizer, name: str, channel: int | None, options: StreamOptions, progress: Progress | None
) -> tuple[Transcript, KeyboardInterrupt | None]:
    """Transcribe a file until it ends or an interrupt comes, which is returned.

    Raises:
        KeyboardInterrupt: it came before any audio.
    """
    with open_audio(name, channel=channel) as audio, Interruptible() as source:
        audio.block_seconds = 1.0  # what an interrupt can lose
        heard = False

        def blocks() -> Iterator[Samples]:
            nonlocal heard
            for block in source.blocks(audio):
                heard = True
                yield block

        try:
            transcript = recognizer.transcribe(blocks(), options, progress=progress)
        except LegatoError:
            if source.cause is not None and not heard:
                raise source.cause from None
            raise
        for warning in audio.warnings:
            say_error(f"{name}: {warning}")
    return transcript, source.cause


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
