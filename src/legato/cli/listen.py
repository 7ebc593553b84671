"""`legato listen`: what a microphone hears, as text while it is spoken."""

import signal
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from legato.cli.errors import FAILED, guarded, say, say_error
from legato.cli.options import ChunkOption, LanguageOption, ModelOption, PhraseOption, ThreadsOption, weighted
from legato.cli.segmenting import EndpointOption, Vad, VadOption, rules_of

if TYPE_CHECKING:
    from legato.audio.live import LiveSource
    from legato.types import Event


@guarded
def listen(
    *,
    device: Annotated[
        str | None, typer.Option(metavar="NAME|NUMBER", help="Microphone; see --list-devices. Default: the system's.")
    ] = None,
    list_devices: Annotated[bool, typer.Option("--list-devices", help="Show the microphones and exit.")] = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="FILE|URL|-",
            help="Instead of a microphone: a file as if it were spoken now, an address, or raw PCM.",
        ),
    ] = None,
    model: ModelOption = None,
    language: LanguageOption = "auto",
    chunk_ms: ChunkOption = 320,
    save_audio: Annotated[
        Path | None, typer.Option(metavar="FILE.wav", help="Keep what was heard; written as it comes.")
    ] = None,
    save_transcript: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the text, as it comes; .json, .srt and others give those formats."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over files that are there.")] = False,
    endpoint: EndpointOption = None,
    vad: VadOption = Vad.NONE,
    phrase: PhraseOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Recognise what a microphone hears, live. Ctrl-C ends it."""
    if list_devices:
        _print_devices()
        return
    if device is not None and source is not None:
        raise typer.BadParameter("either --device or --input.", param_hint="--device")
    if save_audio is not None and save_audio.suffix.lower() != ".wav":
        raise typer.BadParameter(f"{save_audio}: only WAV is written; call it .wav.", param_hint="--save-audio")

    from legato.cli.screen import open_screen
    from legato.errors import AudioError, OutputError
    from legato.model.registry import resolve
    from legato.recognizer import load
    from legato.types import Final

    rules = rules_of(endpoint, vad)
    resolved = resolve(model)
    if model is None:
        say(f"Model: {resolved.name}; others: --model NAME, see 'legato models'")
    recognizer = load(resolved.path, threads=threads)
    failures: list[Exception] = []
    heard = 0
    with ExitStack() as stack:
        stream = stack.enter_context(
            recognizer.stream(language=language, chunk_ms=chunk_ms, endpoint=rules, phrases=weighted(phrase))
        )
        savers = _open_savers(stack, save_audio, save_transcript, resolved.name, source, overwrite)
        sound = _open_source(stack, source, device)
        stack.enter_context(_StoppedByCtrlC(sound))
        screen = stack.enter_context(open_screen())

        def keep(what: str, *values: object) -> None:
            """Save something; what cannot be saved is told at once, and everything else goes on."""
            for saver in list(savers):
                try:
                    getattr(saver, what)(*values)
                except OutputError as error:
                    savers.remove(saver)
                    failures.append(error)
                    say_error(error)

        def show(events: "list[Event]") -> None:
            """Put events on the screen; what was to be saved is saved all the same."""
            try:
                screen.add(events)
            except OutputError as error:
                failures.append(error)
                say_error(error)

        try:
            for block in sound:
                heard += len(block)
                keep("hear", block)
                events = stream.accept(block)
                show(events)
                keep("add", events, stream)
        except AudioError as error:
            failures.append(error)
        if heard:
            events = stream.finish()
            show(events)
            keep("add", events, stream)
            assert isinstance(events[-1], Final)
            keep("finish", events[-1].transcript)
    for failure in failures:
        if isinstance(failure, AudioError):
            say_error(failure)
    if not heard and not failures:
        raise AudioError("nothing was heard: 0 samples.")
    if failures:
        raise typer.Exit(FAILED)


def _print_devices() -> None:
    from legato.audio.microphone import list_devices

    devices = list_devices()
    for device in devices:
        mark = "*" if device.default else " "
        print(f"{mark} {device.number}  {device.name}  ({device.channels} channels, {device.rate:g} Hz)")
    if not devices:
        say("legato: there is no microphone.")


def _open_source(stack: ExitStack, source: str | None, device: str | None) -> "LiveSource":
    if source is not None:
        from legato.audio.live import PlayedSource

        return PlayedSource(source)
    from legato.audio.microphone import Microphone

    microphone = stack.enter_context(Microphone(device))
    say(f"Listening to {microphone.device.name}; Ctrl-C ends it.")
    return microphone


def _open_savers(
    stack: ExitStack, audio: Path | None, transcript: Path | None, model: str, name: str | None, overwrite: bool
) -> list["Saver"]:
    from legato.cli.savers import AudioSaver, TranscriptSaver

    savers: list[Saver] = []
    if audio is not None:
        savers.append(stack.enter_context(AudioSaver(audio, overwrite=overwrite)))
    if transcript is not None:
        savers.append(
            stack.enter_context(
                TranscriptSaver(transcript, model=model, name=name or "microphone", overwrite=overwrite)
            )
        )
    return savers


class _StoppedByCtrlC:
    """Ctrl-C ends the source: what it sent is still recognised. Twice ends at once."""

    def __init__(self, source: "LiveSource") -> None:
        self._source = source
        self._asked = False

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, self._stop)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self._source.stop()


if TYPE_CHECKING:
    from legato.cli.savers import Saver
