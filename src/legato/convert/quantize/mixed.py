"""Different recipes for different layers."""

from collections.abc import Callable

import onnx_ir as ir

from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.precision import Float32, Precision, ReadMatrix, Smoothing
from legato.convert.quantize.sites import Place, place_of


class ByPlace(Float32):
    """One recipe for most layers, and another where `choose` gives one.

    Args:
        recipe: name of the mixture.
        rest: for all layers that `choose` leaves.
        choose: the recipe of a layer by its place, or None.
    """

    name = "int8"

    def __init__(self, recipe: str, rest: Precision, choose: Callable[[Place], Precision | None]) -> None:
        self.recipe, self._rest, self._choose = recipe, rest, choose

    @property
    def transducer(self) -> Precision:
        """That of the rest."""
        return self._rest.transducer

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        return self._of(name).linear(graph, x, name, inputs, outputs, read)

    def smoothing(self, name: str, read: ReadMatrix) -> Smoothing | None:
        """See `Precision.smoothing`."""
        return self._of(name).smoothing(name, read)

    def _of(self, name: str) -> Precision:
        return self._choose(place_of(name)) or self._rest
