"""The report's plots as SVG inside HTML. Colors are CSS variables, so that they follow a light or dark theme."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from legato.lab.evaluate.cells import ALL
from legato.lab.evaluate.tables import card_condition, card_pooled, column_titles, language_name, mode_name

#: Placeholders for CSS variables until the SVG is written: text, grid lines, series.
_INK, _RULE = "#010101", "#020202"
_SERIES = tuple(f"#0{number}0{number}0a" for number in range(1, 9))
_VARIABLES = {_INK: "var(--ink)", _RULE: "var(--rule)"} | {
    color: f"var(--s{number})" for number, color in enumerate(_SERIES, 1)
}
_DASHES = {"manifest": "-", "auto": (0, (4, 2))}
_SCALES = {"raw": (0, (4, 2)), "calibrated": "-"}
#: Bins of the reliability curve with fewer words say nothing.
_BIN_WORDS = 10
_COLUMNS = 3
#: Longest label in characters; longer ones would overlap the next panel.
_LABEL = 34


def by_chunk(report: dict[str, Any]) -> str | None:
    """Draw the headline rate over chunk size, one panel per language; None with only one chunk size."""
    chunks = sorted({cell["chunk_ms"] for cell in report["cells"]})
    languages = _languages(report)
    if len(chunks) < 2:
        return None
    titles = column_titles(report["models"])
    modes = list(dict.fromkeys(cell["mode"] for cell in report["cells"]))
    places = {chunk: place for place, chunk in enumerate(chunks)}
    columns = min(_COLUMNS, len(languages))
    rows = -(-len(languages) // columns)
    lines = [(label, mode) for label in titles for mode in modes]
    with _style():
        figure = Figure(figsize=(3.2 * columns, 2.3 * rows + 0.5), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True)
        handles: dict[str, Any] = {}
        for number, (language, subset) in enumerate(languages):
            axes = panels[number // columns][number % columns]
            for offset, (label, mode) in enumerate(lines):
                points = [
                    (places[cell["chunk_ms"]], cell[cell["headline"]])
                    for cell in report["cells"]
                    if (cell["model"], cell["mode"]) == (label, mode)
                    and (cell["language"], cell["subset"]) == (language, subset)
                    and cell[cell["headline"]]
                ]
                shift = 0.08 * (offset - (len(lines) - 1) / 2)
                name = f"{titles[label]}, language {mode_name(mode)}"
                handles[name] = _points(axes, points, shift, _color(list(titles).index(label)), _DASHES[mode])
            axes.set_title(f"{_short(language, subset)}, {_headline(report, language)} %")
            axes.set_ylim(0, max(5.0, axes.get_ylim()[1]))  # without errors, no scale of hundredths
            axes.set_xticks(list(places.values()), [str(chunk) for chunk in chunks])
        for spare in range(len(languages), rows * columns):
            panels[spare // columns][spare % columns].set_visible(False)
        figure.supxlabel("chunk, ms", fontsize=9)
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=min(4, len(titles)))
        return _svg(figure, "chunk", "Error rate over chunk size, a panel for each language, with 95 % intervals")


def by_precision(report: dict[str, Any]) -> str | None:
    """Draw each model's headline rate by language in the first table's condition; None with only one model."""
    titles = column_titles(report["models"])
    if len(titles) < 2:
        return None
    chunk_ms, mode = card_condition(report)
    languages = _languages(report)
    with _style():
        figure = Figure(figsize=(9.6, 0.9 + 0.16 * len(languages) * (len(titles) + 1.5)), layout="constrained")
        axes = figure.subplots()
        for number, (label, title) in enumerate(titles.items()):
            for row, (language, subset) in enumerate(languages):
                for cell in report["cells"]:
                    wanted = (label, chunk_ms, mode, language, subset)
                    rate = cell[cell["headline"]]
                    if (
                        tuple(cell[key] for key in ("model", "chunk_ms", "mode", "language", "subset")) == wanted
                        and rate
                    ):
                        y = row + 0.7 * ((number + 0.5) / len(titles) - 0.5)
                        value, low, high = (100 * rate[key] for key in ("rate", "low", "high"))
                        axes.plot([low, high], [y, y], color=_color(number), linewidth=1.6)
                        axes.plot(
                            [value], [y], "o", color=_color(number), clip_on=False, label=title if row == 0 else None
                        )
        axes.set_yticks(
            range(len(languages)), [f"{_short(*place)}, {_headline(report, place[0])}" for place in languages]
        )
        axes.set_ylim(len(languages) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("%")
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside upper left", ncols=4)
        return _svg(figure, "precision", "Error rate of each model by language, with 95 % intervals")


def latency(report: dict[str, Any], lines: Sequence[dict[str, Any]]) -> str | None:
    """Draw the distribution of the latencies by chunk size; None without speech."""
    chunks = sorted({line["chunk_ms"] for line in lines})
    panels = {"first_token_latency": "First token after the start of speech, s",
              "final_latency": "Last token after the end of speech, s"}  # fmt: skip
    values = {
        name: [
            [line[name] for line in lines if line["chunk_ms"] == chunk and line[name] is not None] for chunk in chunks
        ]
        for name in panels
    }
    if not all(any(column) for column in values.values()):
        return None
    with _style():
        figure = Figure(figsize=(9.6, 1.1 + 0.42 * len(chunks)), layout="constrained")
        for axes, (name, title) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
            boxes = axes.boxplot(
                values[name], orientation="horizontal", whis=(5, 95), showfliers=False, widths=0.55, patch_artist=True
            )
            for kind, artists in boxes.items():
                for artist in artists:
                    if kind == "boxes":
                        artist.set(facecolor=_SERIES[0], edgecolor=_SERIES[0], alpha=0.35)
                    else:
                        artist.set(color=_INK if kind == "medians" else _SERIES[0], linewidth=1.6)
            axes.set_yticks(range(1, len(chunks) + 1), [f"{chunk} ms" for chunk in chunks])
            axes.set_title(title)
            axes.grid(visible=False, axis="y")
            axes.grid(axis="x")
        axes.invert_yaxis()
        return _svg(
            figure,
            "latency",
            "Latency by chunk size: median, middle half and 5 to 95 % of the utterances, in audio time",
        )


def reliability(report: dict[str, Any]) -> str | None:
    """Draw the share of right words over confidence, and of wrong words over words kept; None without words."""
    titles = list(column_titles(report["models"]).items())
    cells = {cell["model"]: cell["confidence"] for cell in card_pooled(report)}
    curves = [
        (f"{title}, {scale}", number, _SCALES[scale], found)
        for number, (label, title) in enumerate(titles)
        for scale, found in cells.get(label, {}).items()
        if found
    ]
    if not curves:
        return None
    with _style():
        figure = Figure(figsize=(9.6, 4.0), layout="constrained")
        shares, errors = figure.subplots(1, 2)
        shares.plot([0, 100], [0, 100], color=_RULE, linewidth=1)
        for name, number, dash, found in curves:
            points = [(each["confidence"], each["right"]) for each in found["bins"] if each["words"] >= _BIN_WORDS]
            kept = [(each["kept"], each["wrong"]) for each in found["kept"] if each["wrong"] is not None]
            for axes, places in ((shares, points), (errors, kept)):
                x, y = ([100 * place[side] for place in places] for side in (0, 1))
                label = name if axes is shares else None
                axes.plot(x, y, color=_color(number), linestyle=dash, marker="o", clip_on=False, label=label)
        shares.set(title="Right words, %", xlabel="confidence, %", xlim=(0, 100), ylim=(0, 100))
        errors.set(title="Wrong among the words kept, %", xlabel="words kept by a threshold, %", ylim=(0, None))
        figure.legend(loc="outside upper left", ncols=4)
        return _svg(figure, "reliability", "Reliability of the confidences, and what thresholds keep")


def _points(axes: Axes, points: Sequence[tuple[int, dict[str, Any]]], shift: float, color: str, dash: Any) -> Any:
    """Draw a line with intervals, and return the line."""
    x = [place + shift for place, _ in points]
    for place, (_, rate) in zip(x, points, strict=True):
        axes.plot([place, place], [100 * rate["low"], 100 * rate["high"]], color=color, linewidth=1, alpha=0.6)
    rates = [100 * rate["rate"] for _, rate in points]
    [line] = axes.plot(x, rates, color=color, linestyle=dash, marker="o", clip_on=False)
    return line


def _languages(report: dict[str, Any]) -> list[tuple[str, str]]:
    places = dict.fromkeys((cell["language"], cell["subset"]) for cell in report["cells"])
    return [place for place in places if place[0] != ALL] or list(places)


def _short(language: str, subset: str) -> str:
    name = language_name(language, subset)
    return name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"


def _headline(report: dict[str, Any], language: str) -> str:
    return str(next(cell["headline"] for cell in report["cells"] if cell["language"] == language)).upper()


def _color(number: int) -> str:
    return _SERIES[number % len(_SERIES)]


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "font.family": "DejaVu Sans",
            "font.size": 9,
            "text.parse_math": False,  # names may contain dollar signs
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "axes.edgecolor": _RULE,
            "axes.titlesize": 9,
            "axes.titlelocation": "left",
            "axes.titlecolor": _INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.axisbelow": True,
            "grid.color": _RULE,
            "grid.linewidth": 0.6,
            "xtick.color": _RULE,
            "ytick.color": _RULE,
            "xtick.labelcolor": _INK,
            "ytick.labelcolor": _INK,
            "lines.markersize": 4.5,
            "lines.linewidth": 1.6,
            "legend.frameon": False,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
        }
    ):
        yield


def _svg(figure: Figure, name: str, label: str) -> str:
    """Return the figure as an SVG element, without XML header and namespaces, with ids that are unique in the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' id="', f' id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, variable)
    text = text.replace("'DejaVu Sans'", "system-ui, sans-serif")
    size = re.search(r'viewBox="0 0 ([\d.]+)', text)
    width = f"{float(size[1]) * 4 / 3:.0f}px" if size else "100%"
    head = f'<svg role="img" aria-label="{label}" style="width: min(100%, {width}); height: auto"'
    return re.sub(r'^<svg width="[^"]*" height="[^"]*"', head, text, count=1)
