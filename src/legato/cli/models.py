"""`legato models`: list, download, find, check and clean up models."""

from pathlib import Path
from typing import Annotated

import typer

from legato.cli.console import say
from legato.cli.errors import FAILED, guarded
from legato.cli.help import Command

models_app = typer.Typer(
    name="models", help="List, download, check and clean up models.", invoke_without_command=True, rich_markup_mode=None
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
    optimize: Annotated[
        bool,
        typer.Option(
            "--optimize/--no-optimize",
            help="Make the optimized copy for this machine now. Otherwise the first use of the model makes it.",
        ),
    ] = True,
) -> None:
    """Download a model. An interrupted download continues where it stopped."""
    from legato.cli.models_table import megabytes
    from legato.cli.progress import bytes_bar
    from legato.model.bundle import open_bundle
    from legato.model.registry import download_model
    from legato.runtime.trial import check_runs

    with bytes_bar() as update:
        if update is None:
            say(f"Downloading {name}")
        model = download_model(name, progress=update, force=force, check=check_runs)
    if optimize:
        from legato.runtime.optimized import copies, optimized

        if (copy := optimized(open_bundle(model.path))) is not None:
            size = next(known.size for known in copies() if known.path == copy.path)
            say(f"Optimized copy for this machine: {megabytes(size)} in {copy.path}")
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
    """Check every file of a model, and run its graphs once."""
    from legato.cli.models_table import megabytes
    from legato.model.registry import check_model
    from legato.runtime.trial import check_runs

    model = check_model(name, check_runs)
    print(f"{model.name}: complete ({model.precision}, {model.layout} layout, {megabytes(model.size)}) in {model.path}")


@models_app.command(cls=Command)
@guarded
def card(
    name: Name,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Report of legato evaluate, whose tables become part of the card."),
    ] = None,
) -> None:
    """Write the model card (README.md) of a converted model again."""
    from legato.model.card import read_evaluation, write_card
    from legato.model.integrity import CARD
    from legato.model.registry import resolve

    folder = resolve(name).path
    write_card(folder, None if report is None else read_evaluation(report, folder))
    print(folder / CARD)


@models_app.command(cls=Command)
@guarded
def clean() -> None:
    """Remove the optimized copies of models. The models stay; the next use of one makes its copy again."""
    from legato.cli.models_table import megabytes
    from legato.errors import LegatoError
    from legato.runtime.optimized import remove_copies

    try:
        removed = remove_copies()
    except OSError as error:
        raise LegatoError(f"The optimized copies cannot be removed: {error}") from None
    for copy in removed:
        print(f"{copy.name}\t{megabytes(copy.size)}\t{copy.path}")
    say(
        f"Removed {len(removed)} optimized cop{'y' if len(removed) == 1 else 'ies'}: "
        f"{megabytes(sum(copy.size for copy in removed))} freed."
    )
