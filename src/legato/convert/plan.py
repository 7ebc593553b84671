"""The choices of a conversion, checked against each other, and the precision that they lead to."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from legato.convert.graph.precision import Float16, Float32, Precision
from legato.convert.litert.hybrid import Hybrid
from legato.convert.names import LAYOUTS, PRECISIONS
from legato.convert.open import open_checkpoint
from legato.convert.quantize.activations import ROWS
from legato.convert.quantize.calibration import Calibration
from legato.convert.quantize.clips import Clip, read_manifest, sample_clips
from legato.convert.quantize.per_tensor import DynamicPerTensor
from legato.convert.quantize.recipes import DEFAULT_RECIPE, RECIPES
from legato.errors import ConversionError
from legato.files import Progress
from legato.installation import install_command

#: Layouts that applications expect in one form.
_ONLY_RECIPE = {"published": DynamicPerTensor.recipe, "litert": Hybrid.recipe}


@dataclass(frozen=True)
class Plan:
    """Choices that fit together.

    Attributes:
        precision: one of `PRECISIONS`.
        layout: one of `LAYOUTS`.
        recipe: one of `RECIPES` for INT8, None for other precisions.
        clips: recordings to calibrate on; empty for a recipe that needs no calibration.
    """

    precision: str
    layout: str
    recipe: str | None
    clips: list[Clip]

    @property
    def compared(self) -> bool:
        """Whether the bundle is compared with one in FP32 and ONNX, and is not one itself."""
        return self.precision != "fp32" or self.layout == "litert"

    @property
    def recorded_rows(self) -> int:
        """Encoder frames for which the recipe records the inputs of all linear layers."""
        return ROWS if self.recipe in RECIPES and RECIPES[self.recipe].records else 0

    def make_precision(self, source: Path, folder: Path, progress: Progress) -> Precision:
        """Return the precision. Calibrate it first if its recipe needs that.

        Args:
            folder: a folder for temporary files of the calibration; it must not exist, and is removed.
            progress: is called as `calibrating`.

        Raises:
            ConversionError: the recordings cannot be used.
        """
        if self.recipe is None:
            return Float32() if self.precision == "fp32" else Float16()
        if self.layout == "published":
            return DynamicPerTensor()
        recipe = RECIPES[self.recipe]
        calibration = Calibration(lambda: open_checkpoint(source), self.clips, folder, progress)
        if not recipe.calibrated:
            return recipe.make(calibration)
        progress("calibrating", 0, 1)
        precision = Hybrid(calibration.ranges) if self.layout == "litert" else recipe.make(calibration)
        progress("calibrating", 1, 1)
        return precision


def make_plan(precision: str, layout: str, recipe: str | None, calibration: Path | None) -> Plan:
    """Check the choices of `convert` and fill in its defaults.

    Raises:
        ValueError: unknown precision or layout.
        ConversionError: the recipe is unknown or does not fit precision or layout, or the calibration does not fit the
            recipe or cannot be read.
    """
    if precision not in PRECISIONS or layout not in LAYOUTS:
        raise ValueError(f"precision must be one of {PRECISIONS}, layout one of {LAYOUTS}")
    if layout == "litert" and find_spec("ai_edge_litert") is None:
        raise ConversionError(
            f"The layout litert needs packages that are not installed. Install them with: {install_command('litert')}"
        )
    recipe = _choose_recipe(precision, layout, recipe)
    return Plan(precision, layout, recipe, _choose_clips(recipe, calibration))


def _choose_recipe(precision: str, layout: str, recipe: str | None) -> str | None:
    if precision != "int8":
        if recipe is not None:
            raise ConversionError(
                f"{recipe} is a recipe for INT8 and cannot be used with {precision}. Omit the recipe, or choose int8."
            )
        return None
    if recipe is not None and recipe not in RECIPES:
        raise ConversionError(f"there is no recipe {recipe!r}. Choose one of: {', '.join(RECIPES)}.")
    if layout in _ONLY_RECIPE:
        only = _ONLY_RECIPE[layout]
        if recipe not in (None, only):
            raise ConversionError(
                f"the {layout} layout is for applications that expect the published graphs, which have the recipe "
                f"{only} only. Use the native layout for the recipe {recipe}."
            )
        return only
    return recipe or DEFAULT_RECIPE


def _choose_clips(recipe: str | None, manifest: Path | None) -> list[Clip]:
    if recipe is None or not RECIPES[recipe].calibrated:
        if manifest is not None:
            raise ConversionError(
                f"{manifest}: {recipe or 'this precision'} takes no calibration. Omit the calibration manifest."
            )
        return []
    return sample_clips() if manifest is None else read_manifest(manifest)
