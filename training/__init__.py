"""Recipes: how models shipped with or tested by the project were made."""
