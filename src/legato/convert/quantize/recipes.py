"""The table of recipes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from legato.convert.graph.precision import Precision
from legato.convert.graph.sites import Group, Site, Source
from legato.convert.quantize.auto import solve
from legato.convert.quantize.calibration import Calibration
from legato.convert.quantize.mixed import BySite
from legato.convert.quantize.per_tensor import DynamicPerTensor
from legato.convert.quantize.per_token import PerToken
from legato.convert.quantize.rotate import Rotated
from legato.convert.quantize.smooth import PerTokenSmooth, PerTokenSmooth7Bit
from legato.convert.quantize.two_term import TwoTerm
from legato.convert.quantize.weight_only import WeightOnly


@dataclass(frozen=True)
class Recipe:
    """One choice of `convert(..., recipe=NAME)`.

    Attributes:
        make: returns the precision. It measures what it needs to know about the model with the calibration.
        summary: a description of one line.
        calibrated: whether the recipe needs recordings.
        records: whether it records the inputs of all layers in files.
    """

    make: Callable[[Calibration], Precision]
    summary: str
    calibrated: bool = False
    records: bool = False


def _mixed(calibration: Calibration) -> Precision:
    """The inner activations of the feed-forward modules have the worst outliers and no LayerNorm to absorb factors."""
    two_term = TwoTerm()

    def choose(site: Site) -> Precision | None:
        return two_term if (site.group, site.source) == (Group.FEED_FORWARD, Source.SILU) else None

    return BySite("mixed", PerTokenSmooth(calibration.ranges), choose)


RECIPES: dict[str, Recipe] = {
    "auto": Recipe(
        solve,
        "per-token, with every layer quantized by the error of its output on calibration recordings",
        calibrated=True,
        records=True,
    ),
    "auto-7bit": Recipe(
        partial(solve, reduce_range=True),
        "auto with 7-bit weights: less accurate, faster with many streams",
        calibrated=True,
        records=True,
    ),
    "dynamic-per-tensor": Recipe(
        lambda _: DynamicPerTensor(),
        "the published recipe: a weight scale per output channel, an activation scale per tensor",
    ),
    "per-token": Recipe(
        lambda _: PerToken(), "a weight scale per output channel, an activation scale per frame of every stream"
    ),
    "per-token-smooth": Recipe(
        lambda calibration: PerTokenSmooth(calibration.ranges),
        "per-token, with outlier channels of the activations scaled down into the weights by calibration",
        calibrated=True,
    ),
    "per-token-smooth-7bit": Recipe(
        lambda calibration: PerTokenSmooth7Bit(calibration.ranges),
        "per-token-smooth with 7-bit weights: less accurate, faster with many streams",
        calibrated=True,
    ),
    "rotate": Recipe(lambda _: Rotated(), "per-token, with outliers spread over blocks of channels by a rotation"),
    "two-term": Recipe(
        lambda _: TwoTerm(), "per-token, with activations as two INT8 terms: almost no activation error, slower"
    ),
    "mixed": Recipe(
        _mixed,
        "two-term in the second layers of the feed-forward modules, per-token-smooth elsewhere",
        calibrated=True,
    ),
    "weight-only": Recipe(lambda _: WeightOnly(8), "8-bit weights with a scale per block of 32 inputs (MatMulNBits)"),
    "weight-only-4bit": Recipe(
        lambda _: WeightOnly(4), "4-bit weights with a scale per block of 32 inputs (MatMulNBits)"
    ),
}

#: The most accurate recipe with one integer product per layer, for models with and without outliers.
DEFAULT_RECIPE = "auto"


def recipe_summaries() -> dict[str, str]:
    """Return the one-line description of every recipe by its name, in the order in which they should be listed."""
    return {name: recipe.summary for name, recipe in RECIPES.items()}
