"""INT8 recipes: named ways to store the weights of linear layers and to quantize what they multiply."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from legato.convert.quantize.mixed import ByPlace
from legato.convert.quantize.per_token import PerRow
from legato.convert.quantize.precision import DynamicInt8, Precision
from legato.convert.quantize.rotate import Rotated
from legato.convert.quantize.sites import Place
from legato.convert.quantize.smooth import NarrowSmoothPerRow, SmoothPerRow
from legato.convert.quantize.two_term import TwoTerm
from legato.convert.quantize.weight_only import WeightOnly

#: Name of a weight -> the largest magnitude of every input channel on calibration audio, float32[inputs].
Ranges = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Recipe:
    """A named choice of `convert(..., recipe=NAME)`.

    Attributes:
        make: makes the precision from the ranges of calibration, which are empty where it is not `calibrated`.
        summary: one line for people.
        calibrated: whether it needs the ranges of the layers' inputs on real audio.
    """

    make: Callable[[Ranges], Precision]
    summary: str
    calibrated: bool = False


def _mixed(ranges: Ranges) -> Precision:
    """The inner activations of the feed-forward modules have the worst outliers and no LayerNorm to smooth them in."""
    two_term = TwoTerm()

    def choose(place: Place) -> Precision | None:
        return two_term if (place.group, place.source) == ("feed_forward", "silu") else None

    return ByPlace("mixed", SmoothPerRow(ranges), choose)


RECIPES: dict[str, Recipe] = {
    "reference": Recipe(
        lambda _: DynamicInt8(unsigned=True), "the published recipe: per-channel weights, one activation scale a tensor"
    ),
    "per-row": Recipe(lambda _: PerRow(), "per-channel weights, one activation scale a frame"),
    "per-row-smooth": Recipe(
        SmoothPerRow, "per-row, with outlier channels scaled down into the weights by calibration", calibrated=True
    ),
    "per-row-smooth-7bit": Recipe(
        NarrowSmoothPerRow, "the same with 7-bit weights: less exact, faster for many streams", calibrated=True
    ),
    "rotate": Recipe(lambda _: Rotated(), "per-row, with outliers spread over blocks of channels by a rotation"),
    "two-term": Recipe(lambda _: TwoTerm(), "activations as a sum of two INT8 terms: nearly no activation error"),
    "mixed": Recipe(
        _mixed, "two-term for the feed-forward modules' second layers, per-row-smooth elsewhere", calibrated=True
    ),
    "weight-only": Recipe(lambda _: WeightOnly(8), "8-bit weights in blocks of 32 (MatMulNBits)"),
    "weight-only-4bit": Recipe(lambda _: WeightOnly(4), "4-bit weights in blocks of 32 (MatMulNBits)"),
}

#: As accurate as twice the integer products (`two-term`), at the cost of single ones.
DEFAULT_RECIPE = "per-row-smooth"

__all__ = ["DEFAULT_RECIPE", "RECIPES", "Place", "Ranges", "Recipe"]
