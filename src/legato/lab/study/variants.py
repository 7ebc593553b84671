"""The variants of a model that a study compares with FP32."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from legato.convert.graph.precision import Float32, Precision
from legato.convert.graph.sites import Linear, Site
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize import RECIPES, Recipe
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
#: All groups: the encoder's, and the two nets behind it.
GROUPS = ENCODER_GROUPS | {"prediction": "prediction net", "joint": "joint"}
ALL = frozenset(GROUPS)
ENCODER = frozenset(ENCODER_GROUPS)


class PerTensor(DynamicPerTensor):
    """The published recipe with one scale for a whole weight instead of one an output channel."""

    recipe = "per-tensor"

    def __init__(self) -> None:
        super().__init__(signed=False)

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        name, read = layer.name, layer.read

        def scale() -> np.float32:
            return np.float32(max(float(np.abs(read()).max()), 1e-20) / 127)

        weight = graph.weight(
            f"{name}.quantized",
            ir.DataType.UINT8,
            (layer.inputs, layer.outputs),
            lambda: (np.rint(read() / scale()) + 128).astype(np.uint8),
        )
        scales = graph.weight(f"{name}.scale", ir.DataType.FLOAT, (), lambda: np.array(scale()))
        zero = graph.constant(np.array(128, np.uint8))
        quantized, step, zero_point = graph.ops("DynamicQuantizeLinear", x, outputs=3)
        product = graph.op("MatMulInteger", quantized, weight, zero_point, zero)
        return graph.op("Mul", graph.op("Cast", product, to=int(ir.DataType.FLOAT)), graph.op("Mul", step, scales))


#: Every way to do INT8 that a study knows: the recipes of `legato convert`, and what they improve on.
WAYS: dict[str, Recipe] = {
    "per-tensor": Recipe(
        lambda _: PerTensor(), "plain dynamic INT8: one scale a weight, one activation scale a tensor"
    ),
    **RECIPES,
}

#: Those whose activations have one scale a tensor: what they compute depends on how many frames a call has.
BY_TENSOR = ("per-tensor", "dynamic-per-tensor")


@dataclass(frozen=True)
class Variant:
    """One choice of what is in INT8, the rest being FP32.

    Attributes:
        section: `recipes` (as converted), `everything`, `alone` (one group in INT8), `left` (one group in FP32), or
            `layers` (one layer of the encoder in INT8).
        recipe: a key of `WAYS`.
        groups: the groups in INT8; of a recipe as converted those of the encoder, the transducer being what goes with
            it.
        layer: the only layer in INT8, None for all.
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
        """What the encoder depends on: two variants with equal values share it; None for an FP32 encoder."""
        groups = self.groups & ENCODER
        return (self.recipe, groups, self.layer) if groups else None

    def encoder_precision(self, recipe: Precision) -> Precision:
        """Precision of the encoder, where `recipe` is that of the layers in INT8."""
        if self.groups >= ENCODER and self.layer is None:
            return recipe

        def choose(site: Site) -> Precision | None:
            return recipe if site.group in self.groups and self.layer in (None, site.layer) else None

        return BySite(recipe.recipe, Float32(), choose)

    def transducer_precision(self, recipe: Precision, net: str) -> Precision:
        """Precision of the prediction net or the joint: INT8 also for a recipe that would leave it in FP32."""
        if net not in self.groups:
            return Float32()
        return recipe.transducer if recipe.transducer.name == "int8" else recipe


def whole_recipes() -> list[Variant]:
    """Every way to do INT8, as `legato convert` does it."""
    return [Variant("recipes", name, ENCODER) for name in WAYS]


def parts_of(recipe: str, layers: Sequence[int]) -> list[Variant]:
    """Everything in INT8, each group alone, each group left, and each of some layers alone, in the order of reports."""
    return [
        Variant("everything", recipe, ALL),
        *(Variant("alone", recipe, frozenset([group])) for group in GROUPS),
        *(Variant("left", recipe, ALL - {group}) for group in GROUPS),
        *(Variant("layers", recipe, ENCODER - {"subsampling", "prompt"}, layer) for layer in layers),
    ]
