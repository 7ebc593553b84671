"""The interfaces that the graphs of each layout must have.

Sizes have the names of their keys in `config.json`, so that messages need no translation.
"""

from collections.abc import Mapping

from legato.model.interface import FLOATS, INTEGERS, Interface, Role, check_roles

BLANK_NEXT = "blankTokenId + 1"

ENCODER_INPUTS = (
    Role("audio_signal", FLOATS, (1, "numMelBins", "melFrames")),
    Role("audio_length", INTEGERS, (1,), optional=True),
    Role("language_mask", FLOATS, (1, "numPrompts")),
    Role("pre_cache", FLOATS, (1, "numMelBins", "preCacheSize")),
    Role("cache_last_channel", FLOATS, ("encoderLayers", 1, "attentionLeftContext", "encoderHidden")),
    Role("cache_last_time", FLOATS, ("encoderLayers", 1, "encoderHidden", "convCacheSize")),
    Role("cache_last_channel_len", INTEGERS, (1,)),
)
ENCODER_OUTPUTS = (
    Role("encoded_output", FLOATS, (1, None, "encoderHidden")),
    Role("encoded_length", INTEGERS, (1,)),
    Role("new_pre_cache", FLOATS, (1, "numMelBins", "preCacheSize")),
    Role("new_cache_last_channel", FLOATS, ("encoderLayers", 1, "attentionLeftContext", "encoderHidden")),
    Role("new_cache_last_time", FLOATS, ("encoderLayers", 1, "encoderHidden", "convCacheSize")),
    Role("new_cache_last_channel_len", INTEGERS, (1,)),
)
"""The encoder of the published layout."""

_NATIVE_INPUTS = (
    Role("mel", FLOATS, (None, None, "numMelBins")),
    *(Role(name, INTEGERS, (None,)) for name in ("start", "mel_length", "chunk", "prompt")),
)
_NATIVE_OUTPUTS = (Role("encoded", FLOATS, (None, None, "encoderHidden")),)

_STATE = ("decoderLayers", None, "decoderHidden")
DECODER_INPUTS = (Role("token", INTEGERS, (None, 1)), Role("h", FLOATS, _STATE), Role("c", FLOATS, _STATE))
DECODER_OUTPUTS = (
    Role("decoder_output", FLOATS, (None, 1, "decoderHidden")),
    Role("h_out", FLOATS, _STATE),
    Role("c_out", FLOATS, _STATE),
)
JOINT_INPUTS = (
    Role("encoder_output", FLOATS, (None, None, "encoderHidden")),
    Role("decoder_output", FLOATS, (None, 1, "decoderHidden")),
)
JOINT_OUTPUTS = (Role("logits", FLOATS, (None, None, BLANK_NEXT)),)

PUBLISHED: dict[str, tuple[tuple[Role, ...], tuple[Role, ...]]] = {
    "encoder": (ENCODER_INPUTS, ENCODER_OUTPUTS),
    "decoder": (DECODER_INPUTS, DECODER_OUTPUTS),
    "joint": (JOINT_INPUTS, JOINT_OUTPUTS),
}
"""Inputs and outputs of every graph in the published layout."""


def check_interfaces(graphs: Mapping[str, Interface], layout: str, sizes: dict[str, int]) -> None:
    """Compare the interfaces of a bundle's graphs with those of its layout.

    Args:
        graphs: the interfaces by the name of the graph.
        layout: of the bundle.
        sizes: what `config.json` says, and in the end also what only the graphs say.

    Raises:
        BundleError: the graph, what was expected, and what was found.
    """
    if layout == "native":
        check_roles(graphs["encoder"], "input", _NATIVE_INPUTS, sizes, by_name=True, more=True)
        check_roles(graphs["encoder"], "output", _NATIVE_OUTPUTS, sizes, by_name=True)
    else:
        check_roles(graphs["encoder"], "input", ENCODER_INPUTS, sizes, by_name=True)
        check_roles(graphs["encoder"], "output", ENCODER_OUTPUTS, sizes)
    check_roles(graphs["decoder"], "input", DECODER_INPUTS, sizes)
    check_roles(graphs["decoder"], "output", DECODER_OUTPUTS, sizes)
    check_roles(graphs["joint"], "input", JOINT_INPUTS, sizes)
    check_roles(graphs["joint"], "output", JOINT_OUTPUTS, sizes)
