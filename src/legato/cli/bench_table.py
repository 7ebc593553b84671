"""The figures of `legato bench`, as tables and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from legato.cli.console import cannot_write
from legato.cli.terminal import Terminal
from legato.files import write_text_atomically
from legato.lab.benchmark import Measurement
from legato.lab.machine import cpu_name, runtime_versions
from legato.model.bundle import Bundle
from legato.version import __version__


def describe_machine(bundle: Bundle, cores: int) -> dict[str, Any]:
    """Return what the figures depend on: model, CPU and versions."""
    return {
        "model": bundle.name,
        "layout": bundle.layout,
        "precision": bundle.precision,
        "cpu": cpu_name(),
        "cores": cores,
        "legato": __version__,
        **runtime_versions([bundle.layout]),
    }


def write_figures(file: Path, machine: Mapping[str, Any], measurements: Sequence[Measurement]) -> None:
    """Write the figures to a JSON file.

    Raises:
        OutputError: it cannot be written.
    """
    figures = {**machine, "measurements": [asdict(measurement) for measurement in measurements]}
    try:
        write_text_atomically(file, json.dumps(figures, indent=2) + "\n")
    except OSError as error:
        raise cannot_write(file, error) from None


def print_figures(machine: Mapping[str, Any], measurements: Sequence[Measurement]) -> None:
    """Print the figures as tables of at most 80 columns."""
    console = Terminal()
    console.print("{model} ({layout}, {precision}) on {cpu}, {cores} cores".format_map(machine), markup=False)
    console.print(_speeds(measurements))
    console.print(_loads(measurements))
    console.print("p50, p95, p99: computation per chunk. live, file: seconds of computation per")
    console.print("second of audio. streams: most live streams whose lag stays within a chunk.")
    if others := [m.others_cores for m in measurements if m.others_cores is not None]:
        console.print(f"Other programs used {max(others):g} cores meanwhile (the most of all rows).")


def _speeds(measurements: Sequence[Measurement]) -> Table:
    names = ("threads", "chunk", "load", "first", "p50", "p95", "p99", "live", "file", "memory", "streams")
    units = ("", "ms", "s", "s", "ms", "ms", "ms", "", "", "MB", "")
    table = _table(*(f"{name}\n{unit}" for name, unit in zip(names, units, strict=True)), space=0)
    for m in measurements:
        table.add_row(
            str(m.threads),
            str(m.chunk_ms),
            f"{m.load_seconds:.2f}",
            f"{m.first_chunk_seconds:.2f}",
            *(f"{value:.1f}" for value in (m.chunk_ms_p50, m.chunk_ms_p95, m.chunk_ms_p99)),
            f"{m.real_time_factor:.3f}",
            f"{m.file_real_time_factor:.3f}",
            "?" if m.peak_rss_mb is None else f"{m.peak_rss_mb:.0f}",
            str(m.streams_in_real_time),
        )
    return table


def _loads(measurements: Sequence[Measurement]) -> Table:
    table = _table("threads", "chunk, ms", "streams", "lag p50, ms", "lag p95, ms", "batch", "keeps up")
    for m in measurements:
        for load in m.loads:
            lags = (f"{value:.0f}" for value in (load.lag_ms_p50, load.lag_ms_p95))
            keeps_up = "yes" if load.keeps_up else "no"
            table.add_row(str(m.threads), str(m.chunk_ms), str(load.streams), *lags, f"{load.batch:.1f}", keeps_up)
    return table


def _table(*headers: str, space: int = 1) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, space))
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    return table
