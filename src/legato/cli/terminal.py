"""Rich's console for tables, progress bars and live text: it alone sends commands to the terminal."""

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from legato.cli.visible import bare, visible


class Terminal(Console):
    """A console that shows control characters in what it prints, and takes no part of a text for markup."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        file = bare(sys.stderr if stderr else sys.stdout)
        super().__init__(file=file, highlight=False, markup=False, emoji=False, width=width)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the parts of what is printed; parts that are commands of the console itself are not changed."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
