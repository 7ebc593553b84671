"""The figures of `legato bench`, as tables and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from legato.cli.console import cannot_write
from legato.lab.benchmark import Measurement
from legato.lab.machine import cpu_name
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
        "onnxruntime": version("onnxruntime"),
    }


def write_figures(file: Path, machine: Mapping[str, Any], measurements: Sequence[Measurement]) -> None:
    """Write the figures to a JSON file.

    Raises:
        OutputError: it cannot be written.
    """
    figures = {**machine, "measurements": [asdict(measurement) for measurement in measurements]}
    try:
        file.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise cannot_write(file, error) from None


def print_figures(machine: Mapping[str, Any], measurements: Sequence[Measurement]) -> None:
    """Print the figures as tables."""
    console = Console(highlight=False)
    console.print("{model} ({layout}, {precision}) on {cpu}, {cores} cores".format_map(machine), markup=False)
    console.print(_speeds(measurements))
    console.print(_loads(measurements))
    console.print(
        "live, file: seconds of work per second of audio. streams: most live streams whose lag stays within a chunk."
    )


def _speeds(measurements: Sequence[Measurement]) -> Table:
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
    return table


def _loads(measurements: Sequence[Measurement]) -> Table:
    table = Table("threads", "chunk", "streams", "lag p50", "lag p95", "batch", "keeps up")
    for m in measurements:
        for load in m.loads:
            lags = (f"{value:.0f} ms" for value in (load.lag_ms_p50, load.lag_ms_p95))
            keeps_up = "yes" if load.keeps_up else "no"
            table.add_row(str(m.threads), f"{m.chunk_ms} ms", str(load.streams), *lags, f"{load.batch:.1f}", keeps_up)
    return table
