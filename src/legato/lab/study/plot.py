"""A study as a picture."""

from collections.abc import Sequence
from textwrap import fill
from typing import BinaryIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from legato.lab.study.report import label
from legato.lab.study.results import Outcome, Study


def draw(study: Study, file: BinaryIO) -> None:
    """Draw whole models, groups (error and divergence) and layers, as PNG.

    Raises:
        OSError: the file cannot be written.
    """
    panels = _panels(study)
    figure = Figure(figsize=(11, 0.8 + 3.2 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for panel, (title, unit, series) in zip(axes, panels, strict=True):
        _bars(panel, series)
        panel.set_title(title, loc="left")
        panel.set_ylabel(unit)
    figure.suptitle(f"INT8 against FP32: {study.model}, {len(study.fp32)} utterances")
    figure.savefig(file, dpi=110, format="png")


_Series = dict[str, dict[str, float]]


def _panels(study: Study) -> list[tuple[str, str, _Series]]:
    """Return title, unit, and the values by label of every series."""
    whole = {"": _errors(study, study.of("recipes"))}
    alone: _Series = {recipe: _errors(study, study.of("alone", recipe)) for recipe in study.recipes}
    left: _Series = {recipe: _errors(study, study.of("left", recipe)) for recipe in study.recipes}
    decisions: _Series = {
        recipe: {label(o): 1000 * study.figures(o).divergence for o in study.of("alone", recipe)}
        for recipe in study.recipes
    }
    layers: _Series = {recipe: _errors(study, study.of("layers", recipe)) for recipe in study.recipes}
    error = "encoder error, %"
    panels = [
        ("whole models, as converted", error, whole),
        ("one group in INT8, the rest in FP32", error, alone),
        ("one group in INT8, the rest in FP32: the joint's output", "KL, mnat", decisions),
        ("one group in FP32, the rest in INT8", error, left),
        ("one layer in INT8, the rest in FP32", error, layers),
    ]
    return [panel for panel in panels if any(panel[2].values())]


def _errors(study: Study, outcomes: Sequence[Outcome]) -> dict[str, float]:
    return {label(o): 100 * study.figures(o).encoder_error for o in outcomes if o.variant.encoder}


def _bars(axes: Axes, series: _Series) -> None:
    labels = list(dict.fromkeys(name for values in series.values() for name in values))
    width = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = [labels.index(key) + (number - (len(series) - 1) / 2) * width for key in values]
        bars = axes.bar(places, list(values.values()), width, label=name)
        axes.bar_label(bars, fmt="%.2g", fontsize=7)
    axes.set_xticks(
        range(len(labels)), [fill(name, 14) for name in labels], fontsize=8, rotation=0 if len(labels) < 13 else 60
    )
    axes.grid(axis="y", alpha=0.3)
    if len(series) > 1 or "" not in series:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
