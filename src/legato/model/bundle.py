"""A model folder: three graphs, their configuration, vocabulary and language prompts.

The same reader serves our own bundles and the published ones. Ours say more in `config.json` under the key `legato`:
layout, precision, right contexts, and size and SHA-256 of every file.
"""

import difflib
import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from legato.errors import BundleError, LanguageError
from legato.types import MelConfig

GRAPHS = ("encoder", "decoder", "joint")
AUTO = "auto"
_LANGUAGE_TAG = re.compile(r"^<([a-z]{2,3}-[A-Z]{2})>$")


@dataclass(frozen=True)
class Sizes:
    """Sizes that the runtime needs to make states and check audio; names as in model-spec terms.

    Attributes:
        layers, width, heads, left_context, conv_cache: of the encoder.
        decoder_hidden, decoder_layers: of the prediction net.
        vocabulary: tokens without blank; also the id of blank.
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
        layout: `native` or `reference`.
        precision: `fp32`, `fp16`, `int8`, or `unknown` for a published bundle that does not say.
        narrow: its INT8 weights are signed and of 7 bits, exact in every kernel.
        right_contexts: right contexts that the model was trained with, the default first.
        sizes, mel: numbers of the model and its front end.
        pieces: SentencePiece pieces by token id.
        prompts: locale or bare language code -> prompt slot.
    """

    path: Path
    name: str
    layout: str
    precision: str
    narrow: bool
    right_contexts: tuple[int, ...]
    sizes: Sizes
    mel: MelConfig
    pieces: tuple[str, ...]
    prompts: dict[str, int]

    @property
    def frame_seconds(self) -> float:
        """Seconds of audio in one encoder frame."""
        return 8 * self.mel.hop_length / self.mel.sample_rate

    @cached_property
    def language_tags(self) -> dict[int, str]:
        """Token id -> language, for the tokens that are language tags such as `<en-US>`."""
        matches = ((number, _LANGUAGE_TAG.match(piece)) for number, piece in enumerate(self.pieces))
        return {number: match[1] for number, match in matches if match}

    def prompt_slot(self, language: str) -> int:
        """Prompt slot of a language; upper and lower case, `_` and `-` are the same.

        A code without a prompt of its own, such as `ja`, is that of its locales, if they have one prompt together.

        Raises:
            LanguageError: the model has no such prompt; the nearest names are in the message.
        """
        if language in self.prompts:
            return self.prompts[language]
        folded = {name.replace("_", "-").lower(): name for name in self.prompts}
        wanted = language.replace("_", "-").lower()
        if wanted in folded:
            return self.prompts[folded[wanted]]
        same = [name for key, name in folded.items() if key.split("-")[0] == wanted.split("-")[0]]
        slots = {self.prompts[name] for name in same}
        if "-" not in wanted and len(slots) == 1:
            return slots.pop()
        near = same or [folded[key] for key in difflib.get_close_matches(wanted, folded, n=3, cutoff=0.0)]
        hint = f" Nearest: {', '.join(sorted(near)[:5])}." if near else ""
        raise LanguageError(f"Unknown language {language!r} for the model {self.name}.{hint} 'auto' detects it.")


def open_bundle(path: Path) -> Bundle:
    """Read and check a model folder. Files that our own converter wrote are compared with their recorded SHA-256.

    Raises:
        BundleError: names the file, what is wrong with it, and what to do.
    """
    if not path.is_dir():
        raise BundleError(f"{path}: no such model folder. 'legato models' lists the models that are at hand.")
    config = _json(path, "config.json")
    for name in GRAPHS:
        if not (path / f"{name}.onnx").is_file():
            raise BundleError(f"{path}: {name}.onnx is missing. Download or convert the model again.")
    ours = config.get("legato") or {}
    _check_files(path, ours.get("files") or {})
    try:
        return _read(path, config, ours)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{path / 'config.json'}: {type(error).__name__} {error}: not the configuration of a model that Legato can "
            "run. Download or convert the model again."
        ) from error


def _read(path: Path, config: dict[str, Any], ours: dict[str, Any]) -> Bundle:
    width = int(config["encoderHidden"])
    sizes = Sizes(
        layers=int(config["encoderLayers"]),
        width=width,
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
    layout = str(ours.get("layout", "reference"))
    if layout not in ("native", "reference"):
        raise BundleError(f"{path}: unknown layout {layout!r}; it was made by a newer Legato. Update Legato.")
    if layout == "reference" and int(config["streaming"]["melFrames"]) != 32:
        raise BundleError(f"{path}: its window is not 32 mel frames (320 ms), the only one of the published layout.")
    return Bundle(
        path=path,
        name=str(ours.get("name", path.name)),
        layout=layout,
        precision=str(ours.get("precision", "unknown")),
        narrow=bool(ours.get("narrowWeights", False)),
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
        raise BundleError(f"{path}: {name} is missing. Download or convert the model again.") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{path / name}: cannot be read ({error}). Download or convert the model again.") from error
    if not isinstance(loaded, dict):
        raise BundleError(f"{path / name}: holds no JSON object. Download or convert the model again.")
    return loaded


def _pieces(path: Path, count: int) -> tuple[str, ...]:
    vocabulary = _json(path, "vocab.json")
    missing = [number for number in range(count) if str(number) not in vocabulary]
    if missing:
        raise BundleError(f"{path / 'vocab.json'}: token {missing[0]} of {count} is missing. Download the model again.")
    return tuple(str(vocabulary[str(number)]) for number in range(count))


def _prompts(path: Path, slots: int) -> dict[str, int]:
    languages = _json(path, "languages.json")
    prompts = {str(name): int(slot) for name, slot in languages["promptDictionary"].items()}
    if languages.get("autoSlot") is not None:
        prompts.setdefault(AUTO, int(languages["autoSlot"]))
    wrong = [name for name, slot in prompts.items() if not 0 <= slot < slots]
    if wrong:
        raise BundleError(f"{path / 'languages.json'}: the slot of {wrong[0]} is not one of the model's {slots}.")
    return prompts


def _check_files(path: Path, files: dict[str, Any]) -> None:
    verified = _Verified()
    for name, expected in files.items():
        file = path / Path(name).name
        if not file.is_file():
            raise BundleError(f"{path}: {name} is missing. Download or convert the model again.")
        size = file.stat().st_size
        if size != expected["size"]:
            raise BundleError(
                f"{file}: has {size} bytes instead of {expected['size']}: cut off or altered. "
                "Download or convert the model again."
            )
        if verified.knows(file, expected["sha256"]):
            continue
        if file_sha256(file) != expected["sha256"]:
            raise BundleError(f"{file}: was altered (its SHA-256 differs). Download or convert the model again.")
        verified.remember(file, expected["sha256"])
    verified.save()


def file_sha256(file: Path) -> str:
    """SHA-256 of a file as hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_home() -> Path:
    """Folder for downloaded models and other data that can be made again: `LEGATO_HOME`, or the user's cache folder."""
    if home := os.environ.get("LEGATO_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "legato"


class _Verified:
    """Remembers which large files had the right SHA-256, so that hashing does not slow every start.

    A file counts as verified while size, time of change and inode stay as they were. Without a writable cache folder
    nothing is remembered and every start hashes again.
    """

    _SMALL = 1 << 20

    def __init__(self) -> None:
        self._file = cache_home() / "verified.json"
        self._changed = False
        try:
            loaded = json.loads(self._file.read_text("utf-8"))
            self._known: dict[str, str] = loaded if isinstance(loaded, dict) else {}
        except (OSError, ValueError):
            self._known = {}

    @staticmethod
    def _stamp(file: Path, sha256: str) -> str:
        stat = file.stat()
        return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino} {sha256}"

    def knows(self, file: Path, sha256: str) -> bool:
        return self._known.get(str(file.resolve())) == self._stamp(file, sha256)

    def remember(self, file: Path, sha256: str) -> None:
        if file.stat().st_size > self._SMALL:
            self._known[str(file.resolve())] = self._stamp(file, sha256)
            self._changed = True

    def save(self) -> None:
        if not self._changed:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._file.with_suffix(f".{os.getpid()}")
            temporary.write_text(json.dumps(self._known), "utf-8")
            temporary.replace(self._file)
        except OSError:
            pass
