"""The variants of a model that a study compares with FP32."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from legato.convert.graph.precision import Float32, Precision
from legato.convert.graph.sites import Site
from legato.convert.quantize import RECIPES, Recipe
from legato.convert.quantize.integer import column_scales
from legato.convert.quantize.mixed import BySite
from legato.convert.quantize.per_tensor import DynamicPerTensor

#: Groups of the encoder's layers (see `legato.convert.graph.sites.Group`) with their names in reports.
ENCODER_GROUPS = {
    "subsampling": "subsampling projection",
    "attention": "attention",
    "feed_forward": "feed-forward modules",
    "convolution": "convolution modules",
    "prompt": "language prompt",
}
#: All groups: those of the encoder, and the two nets that follow it.
GROUPS = ENCODER_GROUPS | {"prediction": "prediction net", "joint": "joint"}
ALL = frozenset(GROUPS)
ENCODER = frozenset(ENCODER_GROUPS)


class PerTensor(DynamicPerTensor):
    """The published recipe, but with one scale per weight instead of one per output channel."""

    recipe = "per-tensor"

    def scales(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scale of the whole weight, repeated for every output channel: float32[outputs]."""
        return np.repeat(column_scales(matrix.reshape(-1, 1)), matrix.shape[1])


#: Every way to quantize that a study compares: the recipes of `legato convert`, and the simplest one.
WAYS: dict[str, Recipe] = {
    "per-tensor": Recipe(
        lambda _: PerTensor(),
        "for comparison, no recipe of `legato convert`: one scale per weight, one activation scale per tensor",
    ),
    **RECIPES,
}

#: Ways with one activation scale per tensor: their results depend on the number of frames in a call.
BY_TENSOR = ("per-tensor", "dynamic-per-tensor")


@dataclass(frozen=True)
class Variant:
    """A choice of what is in INT8; the rest is in FP32.

    Attributes:
        section: `recipes` (as converted), `everything`, `alone` (one group in INT8), `left` (one group in FP32), or
            `layers` (one layer of the encoder in INT8).
        recipe: a key of `WAYS`.
        groups: the groups in INT8. For `recipes`, those of the encoder; the recipe decides on the transducer.
        layer: the only layer in INT8; None for all.
    """

    section: str
    recipe: str
    groups: frozenset[str]
    layer: int | None = None

    @property
    def key(self) -> str:
        """A name that no other variant of a study has."""
        return "/".join(part for part in (self.section, self.recipe, self.part) if part)

    @property
    def part(self) -> str:
        """The group or layer that the variant is about; empty for a whole model."""
        if self.section == "layers":
            return str(self.layer)
        if self.section == "alone":
            return next(iter(self.groups))
        return next(iter(ALL - self.groups)) if self.section == "left" else ""

    @property
    def encoder(self) -> tuple[str, frozenset[str], int | None] | None:
        """Key of the encoder: variants with equal keys share it; None for an FP32 encoder."""
        groups = self.groups & ENCODER
        return (self.recipe, groups, self.layer) if groups else None

    def encoder_precision(self, recipe: Precision) -> Precision:
        """Return the precision of the encoder, where `recipe` is that of the layers in INT8."""
        if self.groups >= ENCODER and self.layer is None:
            return recipe

        def choose(site: Site) -> Precision | None:
            return recipe if site.group in self.groups and self.layer in (None, site.layer) else None

        return BySite(recipe.recipe, Float32(), choose)

    def transducer_precision(self, recipe: Precision, net: str) -> Precision:
        """Return the precision of the prediction net or the joint: INT8 even if the recipe leaves it in FP32."""
        if net not in self.groups:
            return Float32()
        return recipe.transducer if recipe.transducer.name == "int8" else recipe


def whole_recipes() -> list[Variant]:
    """Return one variant per way to quantize, as `legato convert` applies it."""
    return [Variant("recipes", name, ENCODER) for name in WAYS]


def parts_of(recipe: str, layers: Sequence[int]) -> list[Variant]:
    """Return, in the order of reports: everything in INT8, each group alone, all but each group, each layer alone."""
    return [
        Variant("everything", recipe, ALL),
        *(Variant("alone", recipe, frozenset([group])) for group in GROUPS),
        *(Variant("left", recipe, ALL - {group}) for group in GROUPS),
        *(Variant("layers", recipe, ENCODER - {"subsampling", "prompt"}, layer) for layer in layers),
    ]
