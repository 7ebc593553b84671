"""Options that several commands share, and how their values are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from legato.chunks import FRAME_MS, listing
from legato.decode.phrases import read_weighted
from legato.errors import LegatoError
from legato.model.languages import AUTO
from legato.options import ConfidenceScale, Endpointing, StreamOptions

DEFAULTS = StreamOptions()
DEFAULT_VAD = "none"


def choice(*values: str, styled: bool = False) -> dict[str, Any]:
    """Return arguments of `typer.Option` for one of these values; with `styled`, a colon and a style may follow."""

    def check(value: Any) -> Any:
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None and (each.partition(":")[0] if styled else each) not in values:
                known = f"{', '.join(values[:-1])} or {values[-1]}"
                raise typer.BadParameter(f"{each!r} is unknown. Use {known}.")
        return value

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return {"callback": check, "autocompletion": complete}


def _installed_models(incomplete: str) -> list[str]:
    """Return the names that complete a value of `--model`."""
    from legato.model.registry import list_models

    return [model.name for model in list_models() if model.name.startswith(incomplete)]


def _languages(incomplete: str) -> list[str]:
    """Return the languages of the default model that complete a value of `--language`."""
    from legato.model.bundle import open_bundle
    from legato.model.registry import resolve

    try:
        spoken = open_bundle(resolve(None).path).spoken_languages
    except LegatoError:
        return []
    return [name for name in (AUTO, *spoken) if name.lower().startswith(incomplete.lower())]


ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="MODEL", autocompletion=_installed_models,
        help="Name or folder of a model; 'legato models' lists them. Default: the best one on this machine.",
    ),
]  # fmt: skip
LanguageOption = Annotated[
    str,
    typer.Option(
        "--language", "-l", metavar="LANG", autocompletion=_languages,
        help="Spoken language, such as en-US or de; auto detects it.",
    ),
]  # fmt: skip
ChunkOption = Annotated[
    int,
    typer.Option(
        metavar="MS",
        help=f"Chunk size in milliseconds: {listing()}. A larger one is more accurate and slower to react.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Threads. Default: 1 for a small model, else the cores, at most 4."),
]
AllThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Threads. Default: the available cores, at most 4."),
]
PhraseOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT[=WEIGHT]",
        help="Recognize this phrase more readily; may be repeated. The weight is in nats per token, by default 2.",
    ),
]
EndpointOption = Annotated[
    bool | None,
    typer.Option("--endpoint/--no-endpoint", help="Start a new segment after each pause. Default: only with --vad."),
]
VadOption = Annotated[
    str,
    typer.Option(
        metavar="VAD",
        **choice("none", "silero"),
        help="Voice activity detector that must confirm a pause: none or silero.",
    ),
]
BeamOption = Annotated[
    int, typer.Option(min=1, max=64, metavar="N", help="Hypotheses of beam search; 1 is greedy search, the fastest.")
]
NGramOption = Annotated[
    Path | None,
    typer.Option("--lm", metavar="FILE", help="N-gram over the model's pieces (ARPA), for --beam 4 or more."),
]
NGramWeightOption = Annotated[
    float, typer.Option("--lm-weight", min=0, max=2, metavar="W", help="Weight of the n-gram.")
]
ConfidenceOption = Annotated[
    str,
    typer.Option(
        metavar="SCALE", **choice("raw", "calibrated"),
        help="Confidences as the model computes them (raw), or as probabilities (calibrated; see 'legato calibrate').",
    ),
]  # fmt: skip

RawEncodingOption = Annotated[
    str | None,
    typer.Option(
        metavar="ENCODING",
        help="Standard input is raw audio in this encoding: pcm16, pcm16be, pcm24, pcm32, float32, mulaw, alaw, uint8.",
    ),
]
RawRateOption = Annotated[
    int | None, typer.Option(metavar="HZ", help="Standard input is raw audio with this sample rate. Default: 16000.")
]
RawChannelsOption = Annotated[
    int | None, typer.Option(metavar="N", help="Standard input is raw audio with this number of channels. Default: 1.")
]


def numbers(text: str, option: str) -> list[int]:
    """Read positive numbers that are separated by commas, each once.

    Raises:
        typer.BadParameter: names the option.
    """
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise typer.BadParameter(f"{text!r}: give numbers of 1 or more, separated by commas.", param_hint=option)
    return list(dict.fromkeys(found))


def chunk_sizes(text: str) -> list[int]:
    """Read chunk sizes in milliseconds that are separated by commas.

    Raises:
        typer.BadParameter: one is no multiple of a frame.
    """
    sizes = numbers(text, "--chunk-ms")
    for size in sizes:
        if size % FRAME_MS:
            raise typer.BadParameter(
                f"a chunk of {size} ms is impossible. Use {listing()} ms, several separated by commas.",
                param_hint="--chunk-ms",
            )
    return sizes


def stream_options(
    language: str,
    chunk_ms: int,
    endpoint: bool | None,
    vad: str,
    phrases: Sequence[str] | None,
    *,
    beam: int = DEFAULTS.beam,
    lm: Path | None = None,
    lm_weight: float = DEFAULTS.lm_weight,
    confidence: str = DEFAULTS.confidence,
) -> StreamOptions:
    """Return the options of a stream as the user gave them.

    Raises:
        typer.BadParameter: `--endpoint` and `--vad` contradict each other, or there is no such n-gram.
    """
    if endpoint is False and vad != DEFAULT_VAD:
        raise typer.BadParameter("a detector places endpoints; omit --no-endpoint or --vad.", param_hint="--vad")
    if lm is not None and not lm.exists():
        raise typer.BadParameter(f"{lm}: there is no such file.", param_hint="--lm")
    return StreamOptions(
        language=language,
        chunk_ms=chunk_ms,
        endpoint=Endpointing(vad=cast('Literal["none", "silero"]', vad)) if endpoint or vad != DEFAULT_VAD else None,
        phrases=read_weighted(phrases or ()),
        beam=beam,
        lm=lm,
        lm_weight=lm_weight,
        confidence=confidence_scale(confidence),
    )


def confidence_scale(name: str) -> ConfidenceScale:
    """Return the value of `--confidence`, which was checked."""
    return cast("ConfidenceScale", name)
