"""A model folder: three graphs, their configuration, vocabulary and language prompts.

One reader serves bundles that Legato wrote and published ones. Legato's own say more in `config.json`, under the key
`legato`: format, layout, precision, right contexts, and the size and SHA-256 of every file.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from legato.chunks import SUBSAMPLING_FACTOR
from legato.errors import BundleError
from legato.model import onnx_file, tflite_file
from legato.model.bundle_files import read_json_of, read_mel, read_pieces, read_prompts
from legato.model.calibration import Calibration, read_calibration
from legato.model.contract import PUBLISHED, check_interfaces
from legato.model.fields import BrokenFileError, FieldError, Fields
from legato.model.integrity import CORRECTION, REMEDY, check_files, recorded_files
from legato.model.interface import Interface
from legato.model.languages import AUTO, PromptSlots, english_name, same_language, spoken_languages
from legato.model.sizes import Sizes, complete_sizes, read_sizes
from legato.types import MelConfig

FORMAT = 2
"""Number of the bundle format that this version writes, and the highest that it reads.

Format 1 has other names for layouts and recipes.
"""

GRAPHS = ("encoder", "decoder", "joint")
_LAYOUTS = {"native": "native", "published": "published", "reference": "published", "litert": "litert"}
"""Layouts by their name in `config.json`; `reference` is what Legato called the published layout at first."""

_LANGUAGE_TAG = re.compile(r"^<([a-z]{2,3}-[A-Z]{2})>$")


@dataclass(frozen=True)
class Bundle:
    """A checked model folder.

    Attributes:
        path: the folder.
        name: its name, for people.
        layout: `native`, `published`, or `litert` for the published layout in LiteRT's format.
        precision: `fp32`, `fp16`, `int8`, or `unknown` for a published bundle that does not say.
        recipe: INT8 recipe; None if the bundle does not name one.
        hashes: SHA-256 by the name of a file, as recorded in `config.json` and checked; empty without a record.
        reduce_range: its INT8 weights use 7 of 8 bits, so that no kernel saturates.
        right_contexts: right contexts that the model was trained with, in encoder frames; the default first.
        sizes, mel: numbers of the model and of its front end.
        pieces: SentencePiece pieces by token id.
        prompts: prompt slots by locale or bare language code.
        calibration: from confidences to probabilities; None if `legato calibrate` has not been run.
    """

    path: Path
    name: str
    layout: str
    precision: str
    recipe: str | None
    hashes: dict[str, str]
    reduce_range: bool
    right_contexts: tuple[int, ...]
    sizes: Sizes
    mel: MelConfig
    pieces: tuple[str, ...]
    prompts: dict[str, int]
    calibration: Calibration | None = None

    @property
    def frame_seconds(self) -> float:
        """Seconds of audio in one encoder frame."""
        return SUBSAMPLING_FACTOR * self.mel.hop_length / self.mel.sample_rate

    def graph_file(self, graph: str) -> Path:
        """Return the file of one of `GRAPHS`."""
        return self.path / graph_name(self.layout, graph)

    @cached_property
    def language_tags(self) -> dict[int, str]:
        """Languages by the id of their tag, such as `<en-US>`."""
        matches = ((number, _LANGUAGE_TAG.match(piece)) for number, piece in enumerate(self.pieces))
        return {number: match[1] for number, match in matches if match}

    @cached_property
    def spoken_languages(self) -> tuple[str, ...]:
        """Names of the prompts of the languages that the model was trained on, sorted."""
        return spoken_languages(self.prompts, self.language_tags.values())

    def speaks(self, language: str) -> bool:
        """Return whether the model was trained on a language, in any region; `auto` counts as one."""
        return language == AUTO or self.prompt_slot(language) in self._spoken_slots

    def language_warning(self, language: str) -> str | None:
        """Return what to expect of a language that the model was not trained on; None for the others."""
        if self.speaks(language):
            return None
        name = english_name(language).title()
        named = name if language.title() == name else f"{name} ({language})"
        return (
            f"The model {self.name} was not trained on {named}: expect no useful text. "
            f"Its languages are: {', '.join(self.spoken_languages)}."
        )

    @cached_property
    def _spoken_slots(self) -> frozenset[int]:
        spoken = self.spoken_languages
        return frozenset(s for name, s in self.prompts.items() if any(same_language(name, each) for each in spoken))

    @cached_property
    def _slots(self) -> PromptSlots:
        return PromptSlots(self.prompts, self.name, self.spoken_languages)

    def prompt_slot(self, language: str) -> int:
        """Return the prompt slot of a language; see `PromptSlots`.

        Raises:
            LanguageError: the model has no such prompt. The message names similar ones.
        """
        return self._slots.slot(language)

    def prompt_name(self, language: str) -> str:
        """Return the name of the prompt that is used for a language, such as `de` for `de-AT`. Errors as above."""
        return self._slots.name(language)


def graph_name(layout: str, graph: str) -> str:
    """Return the name of the file that holds one of `GRAPHS`."""
    return f"nemotron-multilingual-{graph}.tflite" if layout == "litert" else f"{graph}.onnx"


def layout_of(names: Iterable[str]) -> str:
    """Return the layout of a published bundle with these files."""
    there = set(names)
    litert = graph_name("litert", "encoder") in there and graph_name("published", "encoder") not in there
    return "litert" if litert else "published"


def open_bundle(path: Path) -> Bundle:
    """Read and check a model folder: the JSON files, and the interface of every graph.

    Files of a bundle that Legato wrote are compared with their recorded SHA-256. No graph is loaded.

    Raises:
        BundleError: names the file, what is wrong with it, and what to do.
    """
    if not path.is_dir():
        raise BundleError(f"{path}: no such model folder. Run 'legato models' to list the installed models.")
    try:
        config = Fields(read_json_of(path, "config.json"), str(path / "config.json"))
        ours = config.section("legato")
        layout = _checked_layout(path, ours)
        files = recorded_files(ours.section("files"))
        check_files(path, files)
        return _read(path, config, ours, layout, {name: each.hash for name, each in files.items()})
    except BrokenFileError as error:
        raise BundleError(f"{error} {REMEDY}") from None
    except FieldError as error:
        raise BundleError(f"{error} {CORRECTION}") from None


def _checked_layout(path: Path, ours: Fields) -> str:
    """Return the layout of a bundle whose format this version reads."""
    number = ours.integer("format", 0, 1 << 31, FORMAT)
    if number > FORMAT:
        raise BundleError(
            f"{path}: a bundle of format {number}, and this Legato reads formats up to {FORMAT}. Update Legato."
        )
    layout = ours.text("layout", 40, None) or layout_of(file.name for file in path.iterdir())
    if layout not in _LAYOUTS:
        raise BundleError(f"{path}: unknown layout {layout!r}: a newer Legato made this bundle. Update Legato.")
    return _LAYOUTS[layout]


def _read(path: Path, config: Fields, ours: Fields, layout: str, hashes: dict[str, str]) -> Bundle:
    sizes = read_sizes(config)
    missing = [name for name in (graph_name(layout, graph) for graph in GRAPHS) if not (path / name).is_file()]
    if missing:
        raise BundleError(f"{path}: {missing[0]} is missing. {REMEDY}")
    check_interfaces({graph: _interface(path, layout, graph) for graph in GRAPHS}, layout, sizes)
    complete = complete_sizes(config, sizes, ours, published=layout != "native")
    usual = complete.window // SUBSAMPLING_FACTOR - 1
    default = [config.section("streaming").integer("rightContext", 0, 1000, usual)]
    return Bundle(
        path=path,
        name=ours.text("name", 200, path.name),
        layout=layout,
        precision=ours.text("precision", 20, "unknown"),
        recipe=ours.text("recipe", 40, None),
        hashes=hashes,
        reduce_range=ours.flag("narrowWeights", False),
        right_contexts=tuple(ours.integers("rightContexts", 0, 1000, 64, default)),
        sizes=complete,
        mel=read_mel(config, ours, complete.mel_bins),
        pieces=read_pieces(path, complete.vocabulary),
        prompts=read_prompts(path, complete.prompts),
        calibration=read_calibration(path),
    )


def _interface(path: Path, layout: str, graph: str) -> Interface:
    file = path / graph_name(layout, graph)
    if layout == "litert":
        return tflite_file.read_interface(file, *PUBLISHED[graph])
    return onnx_file.read_interface(file)
