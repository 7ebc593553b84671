"""The names of precisions and layouts, and the names that layouts and recipes had before bundle format 2."""

from collections.abc import Callable, Mapping

PRECISIONS = ("fp32", "fp16", "int8")
LAYOUTS = ("native", "published", "litert")

#: Former name -> current name. Former names are accepted for one version.
FORMER_LAYOUTS = {"reference": "published"}
FORMER_RECIPES = {
    "reference": "dynamic-per-tensor",
    "per-row": "per-token",
    "per-row-smooth": "per-token-smooth",
    "per-row-smooth-7bit": "per-token-smooth-7bit",
}

#: Called with a sentence that names the current name.
Notify = Callable[[str], object]


def current_layout(name: str, notify: Notify) -> str:
    """Return the current name of a layout. Call `notify` if `name` is its former name; any other name is unchanged."""
    return _current("layout", name, FORMER_LAYOUTS, notify)


def current_recipe(name: str, notify: Notify) -> str:
    """Return the current name of a recipe. Call `notify` if `name` is its former name; any other name is unchanged."""
    return _current("recipe", name, FORMER_RECIPES, notify)


def _current(kind: str, name: str, former: Mapping[str, str], notify: Notify) -> str:
    if name not in former:
        return name
    notify(f"The {kind} {name!r} is now called {former[name]!r}. The former name will be removed in the next version.")
    return former[name]
