"""Tables in Markdown."""

from collections.abc import Sequence

Row = Sequence[str]


def table(header: Row, rows: Sequence[Row]) -> str:
    """Return a table in Markdown, without a line break at its end."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_escaped(text) for text in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
