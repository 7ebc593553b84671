"""A model folder: three graphs, their configuration, vocabulary and language prompts.

One reader serves bundles that Legato wrote and published ones. Legato's own say more in `config.json`, under the key
`legato`: format, layout, precision, right contexts, and the size and SHA-256 of every file.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from legato.chunks import SUBSAMPLING_FACTOR
from legato.errors import BundleError
from legato.model.integrity import REMEDY, check_files
from legato.model.languages import AUTO, PromptSlots
from legato.types import MelConfig

FORMAT = 2
"""Number of the bundle format that this version writes, and the highest that it reads.

Format 1 has other names for layouts and recipes.
"""

GRAPHS = ("encoder", "decoder", "joint")
_LAYOUTS = {"native": "native", "published": "published", "reference": "published"}
"""Layouts by their name in `config.json`; `reference` is what Legato called the published layout at first."""

_PUBLISHED_WINDOW = 32
_LANGUAGE_TAG = re.compile(r"^<([a-z]{2,3}-[A-Z]{2})>$")


@dataclass(frozen=True)
class Sizes:
    """Sizes that are needed to make states and to run the graphs.

    Attributes:
        layers, width, heads: of the encoder.
        left_context: encoder frames that attention sees before a chunk.
        conv_cache: frames that a convolution keeps of those before a chunk.
        decoder_hidden, decoder_layers: of the prediction net.
        vocabulary: number of tokens without blank; also the id of blank.
        prompts: number of prompt slots.
        max_symbols: tokens that greedy search may emit on one frame.
    """

    layers: int
    width: int
    heads: int
    left_context: int
    conv_cache: int
    decoder_hidden: int
    decoder_layers: int
    vocabulary: int
    prompts: int
    max_symbols: int


@dataclass(frozen=True)
class Bundle:
    """A checked model folder.

    Attributes:
        path: the folder.
        name: its name, for people.
        layout: `native` or `published`.
        precision: `fp32`, `fp16`, `int8`, or `unknown` for a published bundle that does not say.
        reduce_range: its INT8 weights use 7 of 8 bits, so that no kernel saturates.
        right_contexts: right contexts that the model was trained with, in encoder frames; the default first.
        sizes, mel: numbers of the model and of its front end.
        pieces: SentencePiece pieces by token id.
        prompts: prompt slots by locale or bare language code.
    """

    path: Path
    name: str
    layout: str
    precision: str
    reduce_range: bool
    right_contexts: tuple[int, ...]
    sizes: Sizes
    mel: MelConfig
    pieces: tuple[str, ...]
    prompts: dict[str, int]

    @property
    def frame_seconds(self) -> float:
        """Seconds of audio in one encoder frame."""
        return SUBSAMPLING_FACTOR * self.mel.hop_length / self.mel.sample_rate

    @cached_property
    def language_tags(self) -> dict[int, str]:
        """Languages by the id of their tag, such as `<en-US>`."""
        matches = ((number, _LANGUAGE_TAG.match(piece)) for number, piece in enumerate(self.pieces))
        return {number: match[1] for number, match in matches if match}

    @cached_property
    def _slots(self) -> PromptSlots:
        return PromptSlots(self.prompts, self.name)

    def prompt_slot(self, language: str) -> int:
        """Return the prompt slot of a language; see `PromptSlots`.

        Raises:
            LanguageError: the model has no such prompt. The message names the nearest ones.
        """
        return self._slots.slot(language)

    def prompt_name(self, language: str) -> str:
        """Return the name of the prompt that is used for a language, such as `de` for `de-AT`. Errors as above."""
        return self._slots.name(language)


def open_bundle(path: Path) -> Bundle:
    """Read and check a model folder. Files of a bundle that Legato wrote are compared with their recorded SHA-256.

    Raises:
        BundleError: names the file, what is wrong with it, and what to do.
    """
    if not path.is_dir():
        raise BundleError(f"{path}: no such model folder. Run 'legato models' to list the installed models.")
    config = _json(path, "config.json")
    for name in GRAPHS:
        if not (path / f"{name}.onnx").is_file():
            raise BundleError(f"{path}: {name}.onnx is missing. {REMEDY}")
    ours = config.get("legato") or {}
    try:
        _check_format(path, ours)
        check_files(path, ours.get("files") or {})
        return _read(path, config, ours)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{path / 'config.json'}: {type(error).__name__} {error}: this is not the configuration of a model that "
            f"Legato can run. {REMEDY}"
        ) from error


def _check_format(path: Path, ours: dict[str, Any]) -> None:
    number = int(ours.get("format", FORMAT))
    if number > FORMAT:
        raise BundleError(
            f"{path}: a bundle of format {number}, and this Legato reads formats up to {FORMAT}. Update Legato."
        )
    layout = ours.get("layout", "published")
    if layout not in _LAYOUTS:
        raise BundleError(f"{path}: unknown layout {layout!r}: a newer Legato made this bundle. Update Legato.")


def _read(path: Path, config: dict[str, Any], ours: dict[str, Any]) -> Bundle:
    sizes = Sizes(
        layers=int(config["encoderLayers"]),
        width=int(config["encoderHidden"]),
        heads=int(ours.get("attentionHeads", 8)),
        left_context=int(config["attentionLeftContext" if "attentionLeftContext" in config else "attentionContext"]),
        conv_cache=int(config["convCacheSize"]),
        decoder_hidden=int(config["decoderHidden"]),
        decoder_layers=int(config["decoderLayers"]),
        vocabulary=int(config["blankTokenId"]),
        prompts=int(config["numPrompts"]),
        max_symbols=int(ours.get("maxSymbols", 10)),
    )
    mel = MelConfig(
        sample_rate=int(config["sampleRate"]),
        mel_bins=int(config["numMelBins"]),
        fft_length=int(config["nFFT"]),
        hop_length=int(config["hopLength"]),
        window_length=int(config["winLength"]),
        pre_emphasis=float(config["preEmphasis"]),
        constants_dtype=str(ours.get("melConstants", "float32")),
    )
    layout = _LAYOUTS[ours.get("layout", "published")]
    if layout == "published" and int(config["streaming"]["melFrames"]) != _PUBLISHED_WINDOW:
        raise BundleError(
            f"{path}: its window is not {_PUBLISHED_WINDOW} mel frames (320 ms), as the published layout needs. "
            "Convert the checkpoint with '--layout native'."
        )
    return Bundle(
        path=path,
        name=str(ours.get("name", path.name)),
        layout=layout,
        precision=str(ours.get("precision", "unknown")),
        reduce_range=bool(ours.get("narrowWeights", False)),
        right_contexts=tuple(int(r) for r in ours.get("rightContexts") or [config["streaming"]["rightContext"]]),
        sizes=sizes,
        mel=mel,
        pieces=_pieces(path, sizes.vocabulary),
        prompts=_prompts(path, sizes.prompts),
    )


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        loaded = json.loads((path / name).read_text("utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path}: {name} is missing. {REMEDY}") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path / name}: cannot be read ({error}). {REMEDY}") from error
    if not isinstance(loaded, dict):
        raise BundleError(f"{path / name}: does not hold a JSON object. {REMEDY}")
    return loaded


def _pieces(path: Path, count: int) -> tuple[str, ...]:
    vocabulary = _json(path, "vocab.json")
    missing = [number for number in range(count) if str(number) not in vocabulary]
    if missing:
        raise BundleError(f"{path / 'vocab.json'}: token {missing[0]} of {count} is missing. {REMEDY}")
    return tuple(str(vocabulary[str(number)]) for number in range(count))


def _prompts(path: Path, slots: int) -> dict[str, int]:
    languages = _json(path, "languages.json")
    prompts = {str(name): int(slot) for name, slot in languages["promptDictionary"].items()}
    if languages.get("autoSlot") is not None:
        prompts.setdefault(AUTO, int(languages["autoSlot"]))
    wrong = [name for name, slot in prompts.items() if not 0 <= slot < slots]
    if wrong:
        raise BundleError(
            f"{path / 'languages.json'}: the slot of {wrong[0]} is not one of the model's {slots}. {REMEDY}"
        )
    return prompts
