"""Converts a checkpoint into a bundle, a model folder. Needs the extra `legato[convert]`, but not torch."""

from legato.convert.conversion import ConversionReport, convert
from legato.convert.names import LAYOUTS, PRECISIONS
from legato.convert.quantize import DEFAULT_RECIPE, RECIPES, recipe_summaries

__all__ = ["DEFAULT_RECIPE", "LAYOUTS", "PRECISIONS", "RECIPES", "ConversionReport", "convert", "recipe_summaries"]
