"""`legato bench`: the speed of a model on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from legato.chunks import listing
from legato.cli.console import say
from legato.cli.errors import guarded
from legato.cli.options import DEFAULTS, ModelOption, chunk_sizes, numbers
from legato.errors import LegatoError

_SEARCH = "search"


@guarded
def bench(
    *,
    model: ModelOption = None,
    threads: Annotated[
        str | None,
        typer.Option(metavar="N,N", help="Numbers of threads. Default: 1 and the available cores, at most 4."),
    ] = None,
    chunk_ms: Annotated[str, typer.Option(metavar="MS,MS", help=f"Chunk sizes in milliseconds: {listing()}.")] = str(
        DEFAULTS.chunk_ms
    ),
    streams: Annotated[
        str,
        typer.Option(metavar="N,N|search", help="Numbers of live streams at once; search finds the most that keep up."),
    ] = _SEARCH,
    seconds: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Audio for each measurement, in seconds.")
    ] = 10.0,
    file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to a JSON file.")
    ] = None,
) -> None:
    """Measure the speed and the memory of a model on this machine."""
    from legato.cli.bench_table import describe_machine, print_figures, write_figures
    from legato.cli.files import check_writable
    from legato.lab.benchmark import Settings, run
    from legato.model.bundle import open_bundle
    from legato.model.registry import resolve
    from legato.runtime.cores import available_cores

    cores = available_cores()
    chosen_threads = numbers(threads, "--threads") if threads else sorted({1, min(cores, 4)})
    if max(chosen_threads) > cores:
        raise LegatoError(f"{max(chosen_threads)} threads are more than the {cores} cores that Legato may use here.")
    chunks = chunk_sizes(chunk_ms)
    counts = None if streams == _SEARCH else tuple(numbers(streams, "--streams"))
    if file is not None and not file.absolute().parent.is_dir():
        raise LegatoError(f"{file}: there is no folder {file.absolute().parent}. Make it first.")
    if file is not None:
        check_writable(file)
    bundle = open_bundle(resolve(model).path)
    measurements = []
    for number in chosen_threads:
        for chunk in chunks:
            say(f"measuring: {number} thread{'s' if number > 1 else ''}, chunks of {chunk} ms")
            measurements.append(run(Settings(str(bundle.path), number, chunk, seconds, counts)))
    machine = describe_machine(bundle, cores)
    if file is not None:
        write_figures(file, machine, measurements)
    print_figures(machine, measurements)
