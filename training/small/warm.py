"""Start a model with the weights of another one that has other pieces of words.

Everything that does not depend on the pieces is copied. A piece takes the embedding and the row of the joint of the
same piece of the other model, or of the piece in lower case; a piece that the other model writes with several takes
the row of the first and the embedding of the last. Marks that the other model never writes start unlikely. If the
model is deeper, layers that pass their input on are put between those of the other model.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import Nemotron3_5AsrForRNNT

from training.common.learner import HELPERS
from training.small.languages import MARKS

LAYERS = "encoder.layers."
#: The last products of the residual branches of a layer.
LAST = ("feed_forward1.linear2", "feed_forward2.linear2", "self_attn.o_proj", "conv.pointwise_conv2")
EMBEDDING, HEAD, BIAS = "decoder.embedding.weight", "joint.head.weight", "joint.head.bias"
#: How much less likely than an average piece a mark is at first, in nats.
RARE = 4.0


def counterparts(new: Tokenizer, old: Tokenizer) -> list[list[int] | None]:
    """Return for each piece of ``new`` the pieces of ``old`` that it is made of; None for a mark that it lacks."""
    known = old.get_vocab()
    found: list[list[int] | None] = []
    for piece, _ in sorted(new.get_vocab().items(), key=lambda item: item[1]):
        same = known.get(piece, known.get(piece.lower()))
        if same is not None:
            found.append([same])
        elif piece.strip("▁") in [*MARKS] and piece != "▁":
            found.append(None)
        else:
            parts = old.encode(piece.lower().replace("▁", " ")).ids
            if not piece.startswith("▁"):  # the tokenizer has put a space before it
                parts = [part for part in parts if old.id_to_token(part) != "▁"]
            found.append(parts or None)
    return found


def converted(weights: dict[str, Tensor], new: Tokenizer, old: Tokenizer) -> dict[str, Tensor]:
    """Return the weights of a model with the pieces of ``old`` for one with those of ``new``."""
    first, last, marks = [], [], []
    for index, parts in enumerate(counterparts(new, old)):
        first.append(parts[0] if parts else 0)
        last.append(parts[-1] if parts else 0)
        if parts is None:
            marks.append(index)
    result = dict(weights)
    result[EMBEDDING] = weights[EMBEDDING][last].clone()
    result[HEAD], result[BIAS] = weights[HEAD][first].clone(), weights[BIAS][first].clone()
    result[EMBEDDING][marks] = 0.0
    result[HEAD][marks] = weights[HEAD].mean(dim=0)
    result[BIAS][marks] = weights[BIAS].mean() - RARE
    return result


def deepened(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Return weights for ``layers`` encoder layers, those that are added after the layers that they are copies of.

    The branches of an added layer start at zero. Its output norm, which comes after that of the layer before, keeps
    mean and deviation of what it normalizes, as that norm's weights say them.
    """
    number = {key: int(key.removeprefix(LAYERS).partition(".")[0]) for key in weights if key.startswith(LAYERS)}
    count = max(number.values()) + 1
    result = {key: value for key, value in weights.items() if key not in number}
    for layer in range(layers):
        source = layer * count // layers
        added = layer > 0 and source == (layer - 1) * count // layers
        for key in (key for key in number if number[key] == source):
            name = key.removeprefix(f"{LAYERS}{source}.")
            value = weights[key].clone()
            if added and name.startswith(LAST):
                value.zero_()
            elif added and name.startswith("norm_out."):
                scale, shift = (weights[f"{LAYERS}{source}.norm_out.{part}"] for part in ("weight", "bias"))
                kept = shift.mean() if name.endswith("bias") else (scale.square().mean() + shift.var()).sqrt()
                value.fill_(float(kept))
            result[f"{LAYERS}{layer}.{name}"] = value
    return result


def start(model: Nemotron3_5AsrForRNNT, helpers: nn.Module, folder: Path, tokenizer: Tokenizer) -> None:
    """Load the weights of a model folder, for the pieces of ``tokenizer``."""
    weights: dict[str, Any] = {key: value.float() for key, value in load_file(folder / "model.safetensors").items()}
    old = Tokenizer.from_file(str(folder / "tokenizer.json"))
    layers = len(model.encoder.layers)
    model.load_state_dict(deepened(converted(weights, tokenizer, old), layers))
    with torch.no_grad():
        helpers.load_state_dict({key: value.float() for key, value in load_file(folder / HELPERS).items()})
