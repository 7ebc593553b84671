"""`legato listen`: speech from a microphone as text, while it is spoken."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from legato.cli.console import say, say_error
from legato.cli.errors import FAILED, PARTIAL, guarded
from legato.cli.options import (
    DEFAULT_VAD,
    DEFAULTS,
    ChunkOption,
    ConfidenceOption,
    EndpointOption,
    LanguageOption,
    ModelOption,
    PhraseOption,
    ThreadsOption,
    VadOption,
    stream_options,
)


@guarded
def listen(
    *,
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME|N", help="Microphone, see --list-devices. Default: that of the system."),
    ] = None,
    list_devices: Annotated[bool, typer.Option("--list-devices", help="List the microphones and exit.")] = False,
    source: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="FILE|URL|-",
            help="Instead of a microphone: a file at the speed of speech, an address, or raw PCM on standard input.",
        ),
    ] = None,
    model: ModelOption = None,
    language: LanguageOption = DEFAULTS.language,
    chunk_ms: ChunkOption = DEFAULTS.chunk_ms,
    save_audio: Annotated[
        Path | None, typer.Option(metavar="FILE.wav", help="Save the audio while it arrives.")
    ] = None,
    save_transcript: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Save the text while it arrives; the ending (.txt, .json, .srt) names the format."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    endpoint: EndpointOption = None,
    vad: VadOption = DEFAULT_VAD,
    phrase: PhraseOption = None,
    confidence: ConfidenceOption = DEFAULTS.confidence,
    threads: ThreadsOption = None,
) -> None:  # fmt: skip
    """Recognize speech from a microphone, live. Ctrl-C ends it."""
    if list_devices:
        _print_devices()
        return
    if device is not None and source is not None:
        raise typer.BadParameter("give --device or --input, not both.", param_hint="--device")
    if save_audio is not None and save_audio.suffix.lower() != ".wav":
        raise typer.BadParameter(f"{save_audio}: only WAV is written; call it .wav.", param_hint="--save-audio")

    from legato.cli.files import check_exists, format_of, unknown_ending
    from legato.cli.interrupt import OnInterrupt
    from legato.cli.listening import Listening, open_source
    from legato.cli.model import open_model
    from legato.cli.savers import open_savers
    from legato.cli.screen import open_screen
    from legato.text.formats import WRITERS

    if save_transcript is not None and format_of(save_transcript) not in {"", *WRITERS}:
        raise typer.BadParameter(unknown_ending(save_transcript), param_hint="--save-transcript")
    asked = stream_options(language, chunk_ms, endpoint, vad, phrase, confidence=confidence)
    if source not in {None, "-"}:
        check_exists(source)
    opened = open_model(model, threads)
    with ExitStack() as stack:
        stream = stack.enter_context(opened.recognizer.stream(asked))
        savers = open_savers(
            stack, save_audio, save_transcript, model=opened.name, name=source or "microphone", overwrite=overwrite
        )
        sound = stack.enter_context(open_source(source, device))
        stack.enter_context(OnInterrupt(sound.stop))
        listening = Listening(stream, stack.enter_context(open_screen()), savers)
        listening.run(sound)
    if listening.audio_error is not None:
        say_error(listening.audio_error)
    if listening.failed or listening.audio_error is not None:
        raise typer.Exit(FAILED if listening.failed else PARTIAL)


def _print_devices() -> None:
    from legato.audio.microphone import list_devices

    devices = list_devices()
    for device in devices:
        mark = "*" if device.default else " "
        print(f"{mark} {device.number}  {device.name}  ({device.channels} channels, {device.rate:g} Hz)")
    if not devices:
        say("legato: there is no microphone.")
