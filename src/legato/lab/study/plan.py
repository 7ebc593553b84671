"""What a study is about: its options, its variants, and the settings that its figures depend on."""

import hashlib
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from legato.convert.checkpoint import Checkpoint
from legato.convert.quantize import DEFAULT_RECIPE
from legato.convert.quantize.clips import Clip
from legato.errors import StudyError
from legato.files import describe_size, sha256_of
from legato.lab.study.utterances import Utterance
from legato.lab.study.variants import WAYS, Variant, parts_of, whole_recipes


@dataclass(frozen=True)
class Plan:
    """What to study.

    Attributes:
        checkpoint: a `.nemo` archive or a transformers folder.
        manifest: recordings with texts (see `legato.audio.manifest`).
        output: folder for `study.json`, and for the variants while they are in use.
        recipes: the recipes whose groups and layers are studied; default `DEFAULT_RECIPE`.
        layers: indices of the encoder layers to study one by one; None for all.
        limit: number of utterances, taken evenly from the manifest; None for all.
        chunk_ms: chunk size.
        language: language of all recordings instead of the manifest's; None for the manifest's.
        calibration: manifest of recordings for calibrated recipes; None for those that `convert` uses.
        threads: threads of the encoder; None for the default of `legato.load`.
        seed: seed of the bootstrap.
        resume: continue the study in the output folder.
    """

    checkpoint: Path
    manifest: Path
    output: Path
    recipes: Sequence[str] = (DEFAULT_RECIPE,)
    layers: Sequence[int] | None = None
    limit: int | None = None
    chunk_ms: int = 320
    language: str | None = None
    calibration: Path | None = None
    threads: int | None = None
    seed: int = 0
    resume: bool = False

    def check_recipes(self) -> None:
        """Raise StudyError for an unknown recipe."""
        unknown = [name for name in self.recipes if name not in WAYS]
        if unknown:
            raise StudyError(f"there is no recipe {unknown[0]!r}. Choose among: {', '.join(WAYS)}.")

    def variants(self, checkpoint: Checkpoint) -> list[Variant]:
        """Return the variants in the order of reports.

        Raises:
            StudyError: the checkpoint does not have one of the layers.
        """
        count = checkpoint.architecture.layers
        layers = range(count) if self.layers is None else self.layers
        for layer in layers:
            if not 0 <= layer < count:
                raise StudyError(f"there is no layer {layer}: {self.checkpoint} has the layers 0 to {count - 1}.")
        parts = (variant for recipe in dict.fromkeys(self.recipes) for variant in parts_of(recipe, layers))
        return [*whole_recipes(), *parts]

    def settings(self, utterances: Sequence[Utterance], clips: Sequence[Clip]) -> dict[str, Any]:
        """Return everything that the figures depend on, as plain values."""
        files = sorted(self.checkpoint.iterdir()) if self.checkpoint.is_dir() else [self.checkpoint]
        return {
            "checkpoint": _digest([sha256_of(file) for file in files if file.is_file()]),
            "manifest": self.manifest.name,
            "selection of utterances": _digest([self._spoken(utterance) for utterance in utterances]),
            "chunk size": self.chunk_ms,
            "calibration": _digest([(clip.path.name, clip.language) for clip in clips]),
            "version of Legato": version("legato"),
            "version of onnxruntime": version("onnxruntime"),
        }

    def relative(self, file: Path) -> str:
        """Return the name of an audio file relative to the manifest's folder, if it is in there."""
        folder = self.manifest.parent
        return str(file.relative_to(folder) if file.is_relative_to(folder) else file)

    def _spoken(self, utterance: Utterance) -> tuple[object, ...]:
        part = () if utterance.offset is None else (utterance.offset, utterance.duration)
        return (self.relative(utterance.audio), utterance.text, utterance.language, *part)


def check_room(folder: Path, checkpoint: Checkpoint) -> None:
    """Raise StudyError if the disk cannot hold the graphs of one FP32 model, the most that is there at a time."""
    parameters = sum(math.prod(shape) for shape in checkpoint.architecture.weight_shapes().values())
    needed, free = 1.1 * 4 * parameters, shutil.disk_usage(folder).free
    if free < needed:
        raise StudyError(
            f"{folder}: no room: the study needs {describe_size(needed)} temporarily, and {describe_size(free)} "
            "are free. Free some space, or give another --output."
        )


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
