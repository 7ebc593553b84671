"""INT8 recipes: named ways to store the weights of linear layers and to quantize the activations that they multiply."""

from legato.convert.quantize.recipes import DEFAULT_RECIPE, RECIPES, Recipe, recipe_summaries

__all__ = ["DEFAULT_RECIPE", "RECIPES", "Recipe", "recipe_summaries"]
