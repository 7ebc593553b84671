"""The JSON files of a bundle, in the forms in which publishers write them."""

from pathlib import Path
from typing import Any

from legato.chunks import FRAME_MS, SUBSAMPLING_FACTOR
from legato.errors import BundleError
from legato.model.fields import FieldError, Fields, found, is_clean, read_json
from legato.model.integrity import REMEDY
from legato.model.languages import AUTO
from legato.types import MelConfig

_MOST_BYTES = {"config.json": 4 << 20, "vocab.json": 32 << 20, "languages.json": 4 << 20}
_LONGEST_PIECE = 1000
_MOST_PROMPTS = 10_000


def read_json_of(folder: Path, name: str) -> Any:
    """Read one of the JSON files of a bundle.

    Raises:
        BundleError: it is missing.
        FieldError: it cannot be read; see `read_json`.
    """
    try:
        return read_json(folder / name, _MOST_BYTES[name])
    except FileNotFoundError:
        raise BundleError(f"{folder}: {name} is missing. {REMEDY}") from None


def read_mel(config: Fields, ours: Fields, mel_bins: int) -> MelConfig:
    """Return the front end. What `config.json` does not say is as the published contract has it.

    Raises:
        FieldError: a value is not as expected, or a frame of the encoder does not have the length that Legato computes
            with.
    """
    usual = MelConfig()
    factor = config.integer("subsamplingFactor", 1, 1 << 10, SUBSAMPLING_FACTOR)
    if factor != SUBSAMPLING_FACTOR:
        raise FieldError(f"{config.place}: subsamplingFactor: expected {SUBSAMPLING_FACTOR}, found {factor}.")
    try:
        mel = MelConfig(
            sample_rate=config.integer("sampleRate", 1, 1 << 20, usual.sample_rate),
            mel_bins=mel_bins,
            fft_length=config.integer("nFFT", 1, 1 << 20, usual.fft_length),
            hop_length=config.integer("hopLength", 1, 1 << 20, usual.hop_length),
            window_length=config.integer("winLength", 1, 1 << 20, usual.window_length),
            pre_emphasis=config.number("preEmphasis", 0, 1, usual.pre_emphasis),
            constants_dtype=ours.text("melConstants", 20, usual.constants_dtype),
        )
    except ValueError as error:
        raise FieldError(f"{config.place}: the front end: {error}.") from None
    if SUBSAMPLING_FACTOR * mel.hop_length * 1000 != FRAME_MS * mel.sample_rate:
        raise FieldError(
            f"{config.place}: hopLength and sampleRate: expected a hop of {FRAME_MS // SUBSAMPLING_FACTOR} ms, found "
            f"{mel.hop_length} samples at {mel.sample_rate} Hz."
        )
    return mel


def read_pieces(folder: Path, count: int) -> tuple[str, ...]:
    """Return the pieces of `vocab.json`: a list, or an object with the token ids as its keys.

    Raises:
        FieldError: a piece of the first `count` is missing, or is no text that can be shown.
    """
    file = folder / "vocab.json"
    vocabulary = read_json_of(folder, file.name)
    if not isinstance(vocabulary, list | dict):
        raise FieldError(f"{file}: expected a list or an object of pieces, found {found(vocabulary)}.")
    form = f"expected {count} pieces in a list, or in an object with the token ids as its keys"
    if len(vocabulary) < count:
        raise FieldError(f"{file}: {form}, found {found(vocabulary)}.")
    pieces = vocabulary[:count] if isinstance(vocabulary, list) else [vocabulary.get(str(i)) for i in range(count)]
    for number, piece in enumerate(pieces):
        if piece is None:
            raise FieldError(f"{file}: {form}; token {number} is missing.")
        if not isinstance(piece, str) or len(piece) > _LONGEST_PIECE or not is_clean(piece):
            raise FieldError(
                f"{file}: token {number}: expected a text of at most {_LONGEST_PIECE} characters without control "
                f"characters, found {found(piece)}."
            )
    return tuple(pieces)


def read_prompts(folder: Path, slots: int) -> dict[str, int]:
    """Return the slots of `languages.json` by language: below `promptDictionary`, or at the top.

    Raises:
        FieldError: a slot is not one of the model's.
    """
    languages = Fields(read_json_of(folder, "languages.json"), str(folder / "languages.json"))
    nested = "promptDictionary" in languages
    dictionary = languages.section("promptDictionary") if nested else languages
    prompts = {
        name: dictionary.whole(name, slot, 0, slots - 1)
        for name, slot in dictionary.items(_MOST_PROMPTS)
        if nested or name not in {"numPrompts", "autoSlot"}
    }
    automatic = languages.integer("autoSlot", 0, slots - 1, None)
    if automatic is not None:
        prompts.setdefault(AUTO, automatic)
    if not prompts:
        raise FieldError(f"{languages.place}: has no languages.")
    return prompts
