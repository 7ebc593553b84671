"""The subcommands, put together."""

from typing import Annotated

import typer

from legato.cli.bench import bench
from legato.cli.calibrate import calibrate
from legato.cli.convert import convert
from legato.cli.evaluate import evaluate
from legato.cli.help import Command, CommandWithRecipes
from legato.cli.listen import listen
from legato.cli.mcp import mcp
from legato.cli.models import models_app
from legato.cli.serve import serve
from legato.cli.study import study
from legato.cli.transcribe import transcribe
from legato.version import __version__

app = typer.Typer(
    name="legato",
    help="Streaming multilingual speech recognition on an ordinary CPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its tables squeeze the text on narrow terminals, and cost time
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"legato {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command(cls=Command)(transcribe)
app.command(cls=Command)(listen)
app.command(cls=Command)(serve)
app.command(cls=CommandWithRecipes)(convert)
app.command(cls=Command)(mcp)
app.command(cls=Command)(bench)
app.command(cls=Command)(evaluate)
app.command(cls=Command)(calibrate)
app.command(cls=CommandWithRecipes)(study)
app.add_typer(models_app)
