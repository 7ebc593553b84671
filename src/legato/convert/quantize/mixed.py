"""Different recipes for different layers."""

from collections.abc import Callable

import onnx_ir as ir

from legato.convert.graph.precision import Float32, Precision, Smoothing
from legato.convert.graph.sites import Linear, Site
from legato.convert.graph.writer import GraphWriter


class BySite(Float32):
    """One precision for most linear layers, and another for those that `choose` selects.

    Args:
        rest: the precision of all layers for which `choose` returns None.
        choose: returns the precision of a layer for its site, or None.
    """

    name = "int8"

    def __init__(self, recipe: str, rest: Precision, choose: Callable[[Site], Precision | None]) -> None:
        self.recipe, self._rest, self._choose = recipe, rest, choose

    @property
    def transducer(self) -> Precision:
        """The one that goes with `rest`."""
        return self._rest.transducer

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        return self._of(layer).linear(graph, x, layer)

    def smoothing(self, layer: Linear) -> Smoothing | None:
        """See `Precision.smoothing`."""
        return self._of(layer).smoothing(layer)

    def _of(self, layer: Linear) -> Precision:
        return self._choose(layer.site) or self._rest
