"""The option that names what is to be recognised more readily."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from legato.phrases import Phrase

PhraseOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT[=WEIGHT]", help="Recognise this more readily; may be given again. Weight: 2 nats a token."
    ),
]


def weighted(given: Sequence[str] | None) -> "list[Phrase]":
    """Read each `TEXT` or `TEXT=WEIGHT`."""
    from legato.phrases import read_weighted

    return read_weighted(given or ())
