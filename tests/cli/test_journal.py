"""The journal of results: what counts as the same options."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from legato.cli.batch.command import identity
from legato.cli.files import Destination
from legato.cli.job import Batch
from legato.cli.model import Model
from legato.decode.phrases import read_weighted
from legato.options import Endpointing, StreamOptions


def identity_of(folder: Path, **changed: Any) -> str:
    (folder / "config.json").write_text("{}")
    recognizer = SimpleNamespace(bundle=SimpleNamespace(path=folder))
    phrases = ("three=10", "one")
    options = StreamOptions(language="de", endpoint=Endpointing(vad="silero"), phrases=read_weighted(phrases))
    given: dict[str, Any] = {
        "names": ("in",), "destination": Destination(("json",), None), "options": options, "channels": "split",
        "phrases": phrases, **changed,
    }  # fmt: skip
    return identity(Batch(**given), Model("numbers", cast(Any, recognizer)))


def test_results_of_earlier_versions_still_count(tmp_path: Path) -> None:
    """The hash that Legato 0.1.0 wrote for these options."""
    assert identity_of(tmp_path) == "6f6b4b1720c217bc7d347febfe2707cc"


def test_only_what_changes_a_result_changes_the_hash(tmp_path: Path) -> None:
    before = identity_of(tmp_path)
    assert identity_of(tmp_path, jobs=2, overwrite=True, threads=1, names=("a", "b")) == before
    assert identity_of(tmp_path, destination=Destination(("txt", "srt"), Path("out"))) == before
    assert identity_of(tmp_path, destination=Destination(("{text}",), None)) != before
    assert identity_of(tmp_path, channels="mix") != before
    assert identity_of(tmp_path, options=StreamOptions(language="fr")) != before
