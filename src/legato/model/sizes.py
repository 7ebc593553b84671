"""The sizes of a model: what `config.json` says, completed by what the graphs say."""

from dataclasses import dataclass

from legato.chunks import SUBSAMPLING_FACTOR
from legato.model.contract import BLANK_NEXT
from legato.model.fields import FieldError, Fields

_MOST_CACHED = 1 << 26
"""Numbers in the caches of one stream that are taken for possible; the full model has 1.6 million."""

_RANGES = {
    "encoderLayers": (1, 256),
    "encoderHidden": (1, 1 << 14),
    "attentionLeftContext": (1, 1 << 12),
    "convCacheSize": (1, 1 << 10),
    "decoderHidden": (1, 1 << 14),
    "decoderLayers": (1, 16),
    "blankTokenId": (1, 1 << 20),
    "numPrompts": (1, 1 << 16),
    "numMelBins": (1, 1 << 10),
    "melFrames": (SUBSAMPLING_FACTOR, 64 * SUBSAMPLING_FACTOR),
    "preCacheSize": (1, 64),
}


@dataclass(frozen=True)
class Sizes:
    """Sizes that are needed to make states and to run the graphs.

    Attributes:
        layers, width: of the encoder.
        left_context: encoder frames that attention sees before a chunk.
        conv_cache: frames that a convolution keeps of those before a chunk.
        decoder_hidden, decoder_layers: of the prediction net.
        vocabulary: number of tokens without blank; also the id of blank.
        prompts: number of prompt slots.
        mel_bins: bands of the filter bank.
        max_symbols: tokens that greedy search may emit on one frame.
        window: mel frames of a call in the published layout.
        pre_cache: mel frames before a call that the graph keeps in the published layout.
    """

    layers: int
    width: int
    left_context: int
    conv_cache: int
    decoder_hidden: int
    decoder_layers: int
    vocabulary: int
    prompts: int
    mel_bins: int
    max_symbols: int
    window: int
    pre_cache: int


def read_sizes(config: Fields) -> dict[str, int]:
    """Return the sizes that `config.json` has, by their names in it. Any may be missing.

    Raises:
        FieldError: one is not a number, or out of range.
    """
    streaming = config.section("streaming")
    found: dict[str, int] = {}
    for name, (low, high) in _RANGES.items():
        fields = streaming if name in streaming else config
        if (value := fields.integer(name, low, high, None)) is not None:
            found[name] = value
    older = config.integer("attentionContext", *_RANGES["attentionLeftContext"], None)
    if older is not None:
        found.setdefault("attentionLeftContext", older)
    if "blankTokenId" in found:
        found[BLANK_NEXT] = found["blankTokenId"] + 1
    return found


def complete_sizes(config: Fields, found: dict[str, int], ours: Fields, *, published: bool) -> Sizes:
    """Return all sizes.

    Args:
        config: `config.json`.
        found: the sizes of `read_sizes` and those of the graphs.
        ours: the section `legato` of `config.json`.
        published: whether the layout is the published one, whose windows have a fixed size.

    Raises:
        FieldError: neither config.json nor a graph has one of them, or the sizes are absurd.
    """
    if BLANK_NEXT in found:
        found.setdefault("blankTokenId", found[BLANK_NEXT] - 1)
    if not published:
        found = {"melFrames": 4 * SUBSAMPLING_FACTOR, "preCacheSize": 9} | found
    for name, (low, high) in _RANGES.items():
        if name not in found:
            raise FieldError(f"{config.place}: {name} is missing, and the graphs do not say it.")
        config.whole(name, found[name], low, high)
    cached = found["encoderLayers"] * found["encoderHidden"]
    if max(found["attentionLeftContext"], found["convCacheSize"]) * cached > _MOST_CACHED:
        raise FieldError(f"{config.place}: the sizes of the encoder are too large for any model of this kind.")
    if published and found["melFrames"] % SUBSAMPLING_FACTOR:
        raise FieldError(
            f"{config.place}: melFrames: expected a multiple of {SUBSAMPLING_FACTOR}, found {found['melFrames']}."
        )
    return Sizes(
        layers=found["encoderLayers"],
        width=found["encoderHidden"],
        left_context=found["attentionLeftContext"],
        conv_cache=found["convCacheSize"],
        decoder_hidden=found["decoderHidden"],
        decoder_layers=found["decoderLayers"],
        vocabulary=found["blankTokenId"],
        prompts=found["numPrompts"],
        mel_bins=found["numMelBins"],
        max_symbols=ours.integer("maxSymbols", 1, 1000, 10),
        window=found["melFrames"],
        pre_cache=found["preCacheSize"],
    )
