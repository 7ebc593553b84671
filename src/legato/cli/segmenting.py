"""The options that say when a segment ends."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from legato.options import Endpointing


class Vad(StrEnum):
    """Voice activity detectors."""

    NONE = "none"
    SILERO = "silero"


EndpointOption = Annotated[
    bool | None,
    typer.Option("--endpoint/--no-endpoint", help="Begin a new segment after a pause. Default: with --vad only."),
]
VadOption = Annotated[Vad, typer.Option(help="Who hears a pause beside the model: nobody, or Silero VAD.")]


def rules_of(endpoint: bool | None, vad: Vad) -> "Endpointing | None":
    """Give the rules that `--endpoint` and `--vad` ask for; None for no segments.

    Raises:
        typer.BadParameter: they contradict each other.
    """
    from legato.options import Endpointing

    if endpoint is False and vad is not Vad.NONE:
        raise typer.BadParameter("a detector places endpoints; leave out --no-endpoint or --vad.", param_hint="--vad")
    return Endpointing(vad=vad.value) if endpoint or vad is not Vad.NONE else None
