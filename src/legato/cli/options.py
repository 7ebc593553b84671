"""Options that several commands have."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from legato.decode.phrases import Phrase

ModelOption = Annotated[
    str | None, typer.Option(help="Name or folder of a model; see 'legato models'. Default: the best at hand.")
]
LanguageOption = Annotated[str, typer.Option(help="Spoken language, such as en-US or de; auto detects it.")]
ChunkOption = Annotated[int, typer.Option(help="How far ahead the model looks: 80, 160, 320, 560 or 1120.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads. Default: the cores at hand.")]
PhraseOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT[=WEIGHT]", help="Recognise this more readily; may be given again. Weight: 2 nats a token."
    ),
]


def weighted(given: Sequence[str] | None) -> "list[Phrase]":
    """Read each `TEXT` or `TEXT=WEIGHT`."""
    from legato.decode.phrases import read_weighted

    return read_weighted(given or ())
