"""The command's subcommands, put together."""

from importlib.metadata import version
from typing import Annotated

import typer

from legato.cli.bench import bench
from legato.cli.convert import convert
from legato.cli.evaluate import evaluate
from legato.cli.listen import listen
from legato.cli.models import models_app
from legato.cli.serve import serve
from legato.cli.study import study
from legato.cli.transcribe import transcribe

app = typer.Typer(
    name="legato",
    help="Streaming multilingual speech recognition on an ordinary CPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"legato {version('legato')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command()(transcribe)
app.command()(listen)
app.command()(convert)
app.command()(bench)
app.command()(study)
app.command()(evaluate)
app.command()(serve)
app.add_typer(models_app)
