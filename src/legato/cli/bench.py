"""`legato bench`: how fast a model is on this machine."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from legato.cli.errors import guarded, say
from legato.cli.options import ModelOption
from legato.errors import LegatoError

if TYPE_CHECKING:
    from legato.lab.benchmark import Measurement

_SEARCH = "search"


@guarded
def bench(
    *,
    model: ModelOption = None,
    threads: Annotated[str | None, typer.Option(help="Threads, such as 1,2. Default: 1 and the cores at hand.")] = None,
    chunk_ms: Annotated[str, typer.Option(help="Chunk sizes: 80, 160, 320, 560 or 1120.")] = "320",
    streams: Annotated[
        str, typer.Option(help="Live streams at once, such as 1,4,16; 'search' finds the most that keep up.")
    ] = _SEARCH,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of audio for each figure.")] = 10.0,
    file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures to a file too.")
    ] = None,
) -> None:
    """Measure speed and memory of a model on this machine."""
    from legato.lab.benchmark import Settings, run
    from legato.model.bundle import open_bundle
    from legato.model.registry import resolve
    from legato.runtime.session import available_cores

    cores = available_cores()
    chosen_threads = _numbers(threads, "--threads") if threads else sorted({1, min(cores, 4)})
    if max(chosen_threads) > cores:
        raise LegatoError(f"{max(chosen_threads)} threads are more than the {cores} cores that Legato may use here.")
    chunks = _numbers(chunk_ms, "--chunk-ms")
    counts = None if streams == _SEARCH else tuple(_numbers(streams, "--streams"))
    if file is not None and not file.absolute().parent.is_dir():
        raise LegatoError(f"{file}: there is no folder {file.absolute().parent}. Make it first.")
    bundle = open_bundle(resolve(model).path)
    measurements = []
    for number in chosen_threads:
        for chunk in chunks:
            say(f"measuring: {number} thread{'s' if number > 1 else ''}, chunks of {chunk} ms")
            measurements.append(run(Settings(str(bundle.path), number, chunk, seconds, counts)))
    about = {"model": bundle.name, "layout": bundle.layout, "precision": bundle.precision, **_machine(cores)}
    if file is not None:
        _write(file, about, measurements)
    _print(about, measurements)


def _numbers(text: str, option: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: give numbers with commas between, such as 1,2.", param_hint=option
        ) from None
    if min(numbers) < 1:
        raise typer.BadParameter(f"{text!r}: give numbers of 1 or more.", param_hint=option)
    return numbers


def _machine(cores: int) -> dict[str, Any]:
    import onnxruntime

    from legato.lab.machine import cpu_name
    from legato.version import __version__

    return {
        "cpu": cpu_name(),
        "cores": cores,
        "legato": __version__,
        "onnxruntime": onnxruntime.__version__,
    }


def _write(file: Path, about: dict[str, Any], measurements: "list[Measurement]") -> None:
    from dataclasses import asdict

    figures = {**about, "measurements": [asdict(measurement) for measurement in measurements]}
    try:
        file.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise LegatoError(f"{file}: cannot be written: {error.strerror}.") from None


def _print(about: dict[str, Any], measurements: "list[Measurement]") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(
        f"{about['model']} ({about['layout']}, {about['precision']}) on {about['cpu']}, {about['cores']} cores",
        markup=False,
    )
    table = Table(
        "threads", "chunk", "load", "first chunk", "chunk p50", "p95", "p99", "live", "file", "peak", "streams"
    )
    for m in measurements:
        table.add_row(
            str(m.threads),
            f"{m.chunk_ms} ms",
            f"{m.load_seconds:.2f} s",
            f"{m.first_chunk_seconds:.2f} s",
            *(f"{value:.1f} ms" for value in (m.chunk_ms_p50, m.chunk_ms_p95, m.chunk_ms_p99)),
            f"{m.real_time_factor:.3f}",
            f"{m.file_real_time_factor:.3f}",
            "?" if m.peak_rss_mb is None else f"{m.peak_rss_mb:.0f} MB",
            str(m.streams_in_real_time),
        )
    console.print(table)
    loads = Table("threads", "chunk", "streams", "lag p50", "lag p95", "batch", "keeps up")
    for m in measurements:
        for load in m.loads:
            lags = (f"{value:.0f} ms" for value in (load.lag_ms_p50, load.lag_ms_p95))
            keeps_up = "yes" if load.keeps_up else "no"
            loads.add_row(str(m.threads), f"{m.chunk_ms} ms", str(load.streams), *lags, f"{load.batch:.1f}", keeps_up)
    console.print(loads)
    console.print(
        "live, file: seconds of work a second of audio. streams: most live streams with a lag within a chunk."
    )
