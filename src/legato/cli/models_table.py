"""The list of models: a table on a terminal, otherwise columns separated by tabs."""

import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from legato.cli.console import say_error
from legato.cli.terminal import Terminal
from legato.model.registry import ALIASES, ModelInfo, list_models


def print_models() -> bool:
    """Print the models on this machine and those to download; return whether every one can be used."""
    found = list_models()
    rows = [_row(model) for model in found]
    names = {model.name for model in found}
    rows += [(alias, "", "", "", f"legato models download {alias}") for alias in ALIASES if alias not in names]
    if sys.stdout.isatty():
        _print_table(rows)
    else:
        for row in rows:
            print("\t".join(cell or "-" for cell in row))
    problems = [model.problem for model in found if model.problem]
    for problem in problems:
        say_error(problem)
    return not problems


def megabytes(size: int) -> str:
    """Return a size in bytes as text: `7.2 MB`, `640 MB`."""
    return f"{size / 1e6:.1f} MB" if size < 1e7 else f"{size / 1e6:.0f} MB"


def _row(model: ModelInfo) -> tuple[str, ...]:
    return (model.name, megabytes(model.size), model.precision, model.layout, _home_relative(model.path))


def _print_table(rows: list[tuple[str, ...]]) -> None:
    table = Table("model", "size", "precision", "layout", "where", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Terminal().print(table)


def _home_relative(path: Path) -> str:
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)
