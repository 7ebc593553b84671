"""`legato transcribe -`: raw PCM on standard input, recognized as it arrives."""

import sys
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import typer

from legato.audio.pcm import pcm_blocks
from legato.cli.console import put
from legato.cli.files import print_result, write_result
from legato.cli.interrupt import Interruptible, exit_code
from legato.cli.job import Live
from legato.cli.model import Model
from legato.errors import AudioError
from legato.options import StreamOptions
from legato.streaming.collect import Collector
from legato.text.formats import event_as_dict, json_final, json_line
from legato.text.growing import GrowingLines
from legato.types import Event, Final, Partial, Transcript

_EXAMPLE = "ffmpeg -i FILE -f s16le -ac 1 -ar 16000 - | legato transcribe -"
_FILE_HEADS = (b"RIFF", b"OggS", b"fLaC", b"ID3", b"\x1aE\xdf\xa3")


def transcribe_live(job: Live, model: Model, options: StreamOptions) -> None:
    """Transcribe standard input until it ends or an interrupt comes.

    Text is printed as it grows, and JSON lines as the events come; other formats are printed at the end.

    Args:
        job: the job.
        model: the model.
        options: options of the stream, compiled.

    Raises:
        AudioError: standard input is a terminal, an audio file instead of raw samples, or empty.
        typer.Exit: an interrupt came; everything recognized up to then is written.
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
        heard = 0
        for block in source.blocks(pcm_blocks(_input())):
            heard += len(block)
            take(stream.accept(block))
        if not heard:
            raise AudioError(f"standard input is empty: 0 samples. Send it 16-bit 16 kHz mono PCM, as in: {_EXAMPLE}")
        take(stream.finish())
    if shown == "txt":
        put(lines.end())
    else:
        _deliver(collector.transcript, job.destination.kinds, targets, model.name, printed=shown is not None)
    if source.cause is not None:
        raise typer.Exit(exit_code(source.cause))


def _input() -> BinaryIO:
    """Return standard input, if it can hold raw samples."""
    if sys.stdin.isatty():
        raise AudioError(f"standard input is the keyboard. Send it 16-bit 16 kHz mono PCM, as in: {_EXAMPLE}")
    file = sys.stdin.buffer
    head = file.peek(4) if isinstance(file, BufferedReader) else b""
    if head.startswith(_FILE_HEADS):
        raise AudioError(f"standard input is an audio file; '-' takes raw PCM. Give its name, or: {_EXAMPLE}")
    return file


def _deliver(
    transcript: Transcript, kinds: tuple[str, ...], targets: tuple[Path, ...], model: str, *, printed: bool
) -> None:
    """Write or print the result; of JSON lines only the last, if the segments have been printed."""
    for path, kind in zip(targets, kinds, strict=False):
        write_result(path, transcript, kind, name="-", model=model)
    if printed and transcript.endpointed:
        put(json_final(transcript, model=model, file="-"))
    elif not targets:
        print_result(transcript, kinds[0], name="-", model=model, several=False)


def _put_events(events: list[Event]) -> None:
    """Print all events but the last as JSON lines; of the segments those with text."""
    for event in events:
        if not isinstance(event, Final) and (isinstance(event, Partial) or event.text):
            put(json_line(event_as_dict(event, file="-")))
