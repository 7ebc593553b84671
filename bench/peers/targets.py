"""The ratios and targets of the comparison, computed from the measurements of a round."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.peers.cases import CHUNK_MS, FILE_CHUNK_MS

Figures = dict[str, Any]
#: The measurements of a round by the keys of their cases, and `bandwidth`.
Round = Mapping[str, Figures]
Figure = Callable[[Round], float]


@dataclass(frozen=True)
class Target:
    """A figure and its target.

    Attributes:
        name: what is compared.
        value: returns the figure of a round; raises KeyError if a measurement is missing.
        bound: the target, such as "<= 0.4"; empty without one.
    """

    name: str
    value: Figure
    bound: str = ""


def targets(threads: Sequence[int], weights: int) -> list[Target]:
    """Return every figure; `weights` is the size of Legato's encoder in bytes."""
    found = []
    for number in threads:
        found += [
            Target(f"{target.name} ({number} thread{'s' if number > 1 else ''})", target.value, target.bound)
            for target in (*_of_streams(number, weights), *_of_files(number))
        ]
    most = max(threads)
    name = f"streams in real time on {most} cores: engine / processes of the published bundle"
    return [*found, Target(name, _streams(most), ">= 3")]


def judge(rounds: Sequence[Round], wanted: Sequence[Target]) -> list[Figures]:
    """Return the figures: median over the rounds, the values of the rounds, and the target."""
    judged: list[Figures] = []
    for target in wanted:
        values = []
        for measured in rounds:
            try:
                values.append(round(target.value(measured), 4))
            except KeyError:
                continue
        if values:
            median = round(statistics.median(values), 4)
            judged.append({"name": target.name, "value": median, "rounds": values, "target": target.bound})
    return judged


def _of_streams(threads: int, weights: int) -> list[Target]:
    ours, published, sherpa, transcribe, nemo_speech = (
        f"stream: {name} x{threads}"
        for name in ("legato", "published bundle", "sherpa-onnx int8", "transcribe-cpp Q8_0", "NeMo-Speech.cpp q8_0")
    )

    def bandwidth(measured: Round) -> float:
        gigabytes_per_second = weights / float(measured[ours]["chunk_ms_mean"]) / 1e6
        return gigabytes_per_second / float(measured["bandwidth"][str(threads)])

    return [
        Target("encoder step: Legato / published bundle", _ratio(ours, published, "encoder_ms_mean"), "<= 0.45"),
        Target("whole chunk: Legato / published bundle", _ratio(ours, published, "chunk_ms_mean"), "<= 0.4"),
        Target("whole chunk: Legato / sherpa-onnx int8", _ratio(ours, sherpa, "chunk_ms_mean")),
        Target("whole chunk: Legato / transcribe-cpp Q8_0", _ratio(ours, transcribe, "chunk_ms_mean"), "<= 0.5"),
        Target("whole chunk: Legato / NeMo-Speech.cpp q8_0", _ratio(ours, nemo_speech, "chunk_ms_mean"), "<= 0.8"),
        Target("weights read per second / read bandwidth", bandwidth, ">= 0.5"),
        Target("load to first chunk done, s", lambda measured: float(measured[ours]["first_chunk_seconds"]), "<= 2.5"),
        Target("peak RSS of a stream, GB", lambda measured: float(measured[ours]["peak_rss_mb"]) / 1000, "<= 0.85"),
    ]


def _of_files(threads: int) -> list[Target]:
    def key(name: str, chunk_ms: int) -> str:
        return f"file, {chunk_ms} ms: {name} x{threads}"

    ours = key("legato", FILE_CHUNK_MS)
    ratios = [
        Target(
            f"file RTF, {chunk_ms} ms: Legato / {peer}",
            _ratio(key("legato", chunk_ms), key(peer, chunk_ms), "real_time_factor"),
            bound,
        )
        for chunk_ms, peer, bound in (
            (FILE_CHUNK_MS, "transcribe-cpp Q8_0", "<= 0.8"),
            (FILE_CHUNK_MS, "sherpa-onnx int8", "<= 0.8"),
            (FILE_CHUNK_MS, "NeMo-Speech.cpp q8_0", ""),
            (CHUNK_MS, "sherpa-onnx int8", "<= 0.8"),
            (FILE_CHUNK_MS, "transformers float32", ""),
        )
    ]
    rss = Target("peak RSS of a file, GB", lambda measured: float(measured[ours]["peak_rss_mb"]) / 1000, "<= 0.85")
    return [*ratios, rss]


def _ratio(one: str, other: str, figure: str) -> Figure:
    return lambda measured: float(measured[one][figure]) / float(measured[other][figure])


def _streams(threads: int) -> Figure:
    """The published bundle may use the cores in the faster way: all threads in one process, or one process each."""

    def value(measured: Round) -> float:
        one = math.floor(1 / float(measured[f"stream: published bundle x{threads}"]["real_time_factor"]))
        several = measured.get(f"streams: {threads} processes of the published bundle x1", {})
        most = max(one, float(several.get("streams_in_real_time", 0)))
        engine = float(measured[f"streams: legato's engine x{threads}"]["streams_in_real_time"])
        return engine / most if most else math.inf

    return value
