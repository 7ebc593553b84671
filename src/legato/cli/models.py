"""`legato models`: list, download, find and check models."""

from typing import Annotated

import typer

from legato.cli.console import say
from legato.cli.errors import FAILED, guarded
from legato.cli.help import Command

models_app = typer.Typer(
    name="models", help="List, download and check models.", invoke_without_command=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Short name, owner/name of a repository, or 'embedded'.")]


@models_app.callback()
def models(context: typer.Context) -> None:
    """List the models on this machine, and those that can be downloaded by a short name."""
    if context.invoked_subcommand is None:
        list_models()


@models_app.command("list", cls=Command)
@guarded
def list_models() -> None:
    """List the models; the same as 'legato models'."""
    from legato.cli.models_table import print_models

    if not print_models():
        raise typer.Exit(FAILED)


@models_app.command(cls=Command)
@guarded
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Short name, or owner/name of a repository.")],
    force: Annotated[bool, typer.Option("--force", help="Fetch the newest version even if there is one.")] = False,
) -> None:
    """Download a model. An interrupted download continues where it stopped."""
    from legato.cli.progress import bytes_bar
    from legato.model.registry import download_model

    with bytes_bar() as update:
        if update is None:
            say(f"Downloading {name}")
        model = download_model(name, progress=update, force=force)
    say(f"{model.name} is ready: legato transcribe --model {model.name} FILE")
    print(model.path)


@models_app.command(cls=Command)
@guarded
def path(name: Name) -> None:
    """Print the folder of a model."""
    from legato.model.registry import resolve

    print(resolve(name).path.absolute())


@models_app.command(cls=Command)
@guarded
def check(name: Name) -> None:
    """Check every file of a model."""
    from legato.cli.models_table import megabytes
    from legato.model.registry import check_model

    model = check_model(name)
    print(f"{model.name}: complete ({model.precision}, {model.layout} layout, {megabytes(model.size)}) in {model.path}")
