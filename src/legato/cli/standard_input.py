"""`legato transcribe -`: a file or raw PCM on standard input, recognized as it arrives."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import typer

from legato.audio.pipe import open_pipe
from legato.cli.console import put, say_warnings
from legato.cli.errors import PARTIAL
from legato.cli.files import check_writable, print_result, write_result
from legato.cli.interrupt import Interruptible, exit_code
from legato.cli.job import Live
from legato.cli.model import Model
from legato.errors import AudioError, LegatoError
from legato.options import StreamOptions
from legato.streaming.collect import Collector
from legato.text.formats import event_as_dict, json_final, json_line
from legato.text.growing import GrowingLines
from legato.types import Event, Final, Partial, Transcript

_EXAMPLE = "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - | legato transcribe -"


def check_input(job: Live) -> None:
    """Check, before the model is loaded, that there is input and the results can be written.

    Raises:
        AudioError: standard input is closed or a terminal.
        OutputError: a result cannot be written.
    """
    _input()
    for targets in job.destination.targets(["-"]):
        for target in targets:
            check_writable(target)


def transcribe_live(job: Live, model: Model, options: StreamOptions) -> None:
    """Transcribe standard input until it ends or an interrupt comes.

    Text is printed as it grows, and JSON lines as the events come; other formats are printed at the end.

    Raises:
        AudioError: standard input is empty, or a file that cannot be read.
        typer.Exit: only a part could be read (3), or an interrupt came; the result up to there is written.
    """
    [targets] = job.destination.targets(["-"])
    kind = job.destination.kinds[0]
    shown = kind if not targets and kind in ("txt", "jsonl") else None
    lines = GrowingLines()
    collector = Collector()

    def take(events: list[Event]) -> None:
        if shown == "txt":
            put(lines.add(events))
            return
        collector.add(events)
        if shown == "jsonl":
            _put_events(events)

    with model.recognizer.stream(options) as stream, Interruptible() as source:
        received = False
        file = _input()
        piped = not file.seekable()
        pipe = source.pipe(file) if piped else file
        try:
            with open_pipe(pipe, audio_format=job.audio_format, channel=job.channel, track=job.track) as audio:
                for block in audio if piped else source.blocks(audio):
                    received = True
                    take(stream.accept(block))
        except LegatoError:
            if source.cause is not None and not received:
                raise source.cause from None
            put("\n" if lines.open else "")  # so that the message has a line of its own
            raise
        if not received:
            raise source.cause or AudioError(f"standard input holds no audio. Send it a file, or raw PCM: {_EXAMPLE}")
        take(stream.finish())
    partial = source.cause is not None or not audio.complete
    if shown == "txt":
        put(lines.end())
    if source.cause is None:  # an interrupted file lacks its end
        say_warnings(audio.name, audio.warnings)
    if shown != "txt":
        _deliver(replace(collector.transcript, partial=partial), job, targets, model.name)
    if source.cause is not None:
        raise typer.Exit(exit_code(source.cause))
    if partial:
        raise typer.Exit(PARTIAL)


def _input() -> BinaryIO:
    """Return standard input.

    Raises:
        AudioError: it is closed or a terminal.
    """
    if sys.stdin is None:
        raise AudioError("standard input is closed. Send it an audio file or raw PCM, or give the name of a file.")
    if sys.stdin.isatty():
        raise AudioError(f"standard input is the keyboard. Send it an audio file or raw PCM: {_EXAMPLE}")
    return sys.stdin.buffer


def _deliver(transcript: Transcript, job: Live, targets: tuple[Path, ...], model: str) -> None:
    """Write or print the result; of JSON lines only the last, if the segments have been printed."""
    kinds = job.destination.kinds
    for path, kind in zip(targets, kinds, strict=False):
        write_result(path, transcript, kind, name="-", model=model, telling=True)
    if targets:
        return
    if kinds[0] == "jsonl" and transcript.endpointed:
        put(json_final(transcript, model=model, file="-"))
    else:
        print_result(transcript, kinds[0], name="-", model=model, several=False)


def _put_events(events: list[Event]) -> None:
    """Print all events but the last as JSON lines; of the segments those with text."""
    for event in events:
        if not isinstance(event, Final) and (isinstance(event, Partial) or event.text):
            put(json_line(event_as_dict(event, file="-")))
