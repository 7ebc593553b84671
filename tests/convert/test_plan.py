"""The choices of a conversion: combinations, former names, and what a bundle records of them."""

import json
from pathlib import Path
from typing import Any

import pytest

import legato
from legato.convert import DEFAULT_RECIPE, RECIPES, convert
from legato.convert.names import FORMER_RECIPES
from legato.convert.plan import make_plan
from legato.convert.quantize import recipe_summaries
from legato.model.bundle import open_bundle
from tests.conftest import MakeBundle, checkpoint_path
from tests.support.command import legato as command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"recipe": "magic"}, "no recipe 'magic'.*per-token"),
        ({"recipe": "per-token", "precision": "fp32"}, "recipe for INT8"),
        ({"recipe": "per-token", "layout": "published"}, "native layout"),
        ({"recipe": "per-token", "calibration": Path("m.jsonl")}, "takes no calibration"),
        ({"precision": "fp16", "calibration": Path("m.jsonl")}, "takes no calibration"),
    ],
)
def test_combinations_that_make_no_sense(tmp_path: Path, arguments: dict[str, str], words: str) -> None:
    with pytest.raises(legato.ConversionError, match=words):
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def ours(folder: Path) -> dict[str, Any]:
    """The key `legato` of a bundle's config.json."""
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())["legato"]
    return found


def test_the_bundle_names_its_recipe(make_bundle: MakeBundle) -> None:
    def recipe(folder: Path) -> object:
        open_bundle(folder)
        return ours(folder).get("recipe")

    assert make_plan("int8", "native", None, None).recipe == DEFAULT_RECIPE
    assert recipe(make_bundle("nemo-r3", "int8", "published")) == "dynamic-per-tensor"
    assert recipe(make_bundle("nemo-r3", "fp32")) is None
    for name in RECIPES:
        assert recipe(make_bundle("nemo-r3", "int8", recipe=name)) == name


def test_7_bit_weights_are_recorded(make_bundle: MakeBundle) -> None:
    assert ours(make_bundle("nemo-r3", "int8", recipe="per-token-smooth-7bit"))["narrowWeights"] is True
    assert "narrowWeights" not in ours(make_bundle("nemo-r3", "int8"))


@pytest.mark.parametrize(("former", "current"), FORMER_RECIPES.items())
def test_former_names_of_recipes(tmp_path: Path, make_bundle: MakeBundle, former: str, current: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"'{former}' is now called '{current}'") as caught:
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", recipe=former)
    assert [warning.filename for warning in caught] == [__file__]
    assert ours(tmp_path / "out")["files"] == ours(make_bundle("nemo-r3", "int8", recipe=current))["files"]
    assert ours(tmp_path / "out")["recipe"] == current


def test_the_former_name_of_the_published_layout(tmp_path: Path, make_bundle: MakeBundle) -> None:
    with pytest.warns(DeprecationWarning) as caught:
        convert(checkpoint_path("nemo-r3"), tmp_path / "out", layout="reference", recipe="reference")
    assert [str(warning.message).split(".")[0] for warning in caught] == [
        "The layout 'reference' is now called 'published'",
        "The recipe 'reference' is now called 'dynamic-per-tensor'",
    ]
    found = ours(tmp_path / "out")
    assert (found["format"], found["layout"], found["recipe"]) == (2, "published", "dynamic-per-tensor")
    assert found["files"] == ours(make_bundle("nemo-r3", "int8", "published"))["files"]


def test_the_command_accepts_former_names_with_a_note(tmp_path: Path) -> None:
    arguments = ("--layout", "reference", "--recipe", "reference")
    result = command("convert", checkpoint_path("nemo-r3"), tmp_path / "out", *arguments, home=tmp_path)
    assert result.returncode == 0
    notes = result.stderr.decode()
    assert "The layout 'reference' is now called 'published'." in notes
    assert "The recipe 'reference' is now called 'dynamic-per-tensor'." in notes
    assert (ours(tmp_path / "out")["layout"], ours(tmp_path / "out")["recipe"]) == ("published", "dynamic-per-tensor")
    failed = command("convert", checkpoint_path("nemo-r3"), tmp_path / "other", "--layout", "magic", home=tmp_path)
    assert failed.returncode == 2
    assert b"native or published" in failed.stderr


def test_bundles_of_format_1_open(tmp_path: Path, make_bundle: MakeBundle) -> None:
    made = make_bundle("nemo-r3", "int8", "published")
    for file in made.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((made / "config.json").read_text())
    config["legato"] |= {"format": 1, "layout": "reference", "recipe": "reference"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert open_bundle(tmp_path).layout == open_bundle(made).layout == "published"


def test_every_recipe_has_a_summary_of_one_line() -> None:
    summaries = recipe_summaries()
    assert list(summaries) == list(RECIPES)
    assert all(0 < len(summary) <= 100 and "\n" not in summary for summary in summaries.values())
