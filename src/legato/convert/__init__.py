"""Making bundles: a checkpoint goes in, a model folder comes out. Needs the extra `legato[convert]`, never torch."""

from legato.convert.conversion import LAYOUTS, PRECISIONS, ConversionReport, convert
from legato.convert.quantize import DEFAULT_RECIPE, RECIPES

__all__ = ["DEFAULT_RECIPE", "LAYOUTS", "PRECISIONS", "RECIPES", "ConversionReport", "convert"]
