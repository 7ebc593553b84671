"""`legato models`: list, download, find and check models."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from legato.cli.errors import FAILED, guarded, say, say_error

if TYPE_CHECKING:
    from legato.model.registry import ModelInfo

models_app = typer.Typer(name="models", help="List, download and check models.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Short name, owner/name of a repository, or 'embedded'.")]


@models_app.callback()
def models(context: typer.Context) -> None:
    """List the models at hand, and those that can be downloaded by a short name."""
    if context.invoked_subcommand is None:
        _list()


@models_app.command()
@guarded
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Short name, or owner/name of a repository.")],
    force: Annotated[bool, typer.Option("--force", help="Fetch the newest version even if there is one.")] = False,
) -> None:
    """Download a model. An interrupted download goes on where it stopped."""
    from legato.cli.progress import bytes_bar
    from legato.model.registry import download_model

    if sys.stderr.isatty():
        with bytes_bar() as update:
            model = download_model(name, progress=update, force=force)
    else:
        say(f"Downloading {name}")
        model = download_model(name, force=force)
    say(f"{model.name} is ready: legato transcribe --model {model.name} FILE")
    print(model.path)


@models_app.command()
@guarded
def path(name: Name) -> None:
    """Print the folder of a model."""
    from legato.model.registry import resolve

    print(resolve(name).path.absolute())


@models_app.command()
@guarded
def check(name: Name) -> None:
    """Check every file of a model."""
    from legato.model.registry import check_model

    model = check_model(name)
    print(
        f"{model.name}: complete ({model.precision}, {model.layout} layout, {_megabytes(model.size)}) in {model.path}"
    )


@guarded
def _list() -> None:
    from legato.model.registry import ALIASES, list_models

    found = list_models()
    rows = [_row(model) for model in found]
    there = {model.name for model in found}
    rows += [(alias, "", "", "", f"legato models download {alias}") for alias in ALIASES if alias not in there]
    if sys.stdout.isatty():
        _print_table(rows)
    else:
        for row in rows:
            print("\t".join(cell or "-" for cell in row))
    for model in found:
        if model.problem:
            say_error(model.problem)
    if any(model.problem for model in found):
        raise typer.Exit(FAILED)


def _row(model: "ModelInfo") -> tuple[str, ...]:
    return (model.name, _megabytes(model.size), model.precision, model.layout, _home_relative(model.path))


def _print_table(rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "size", "precision", "layout", "where", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console().print(table)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e7 else f"{size / 1e6:.0f} MB"


def _home_relative(path: Path) -> str:
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)
