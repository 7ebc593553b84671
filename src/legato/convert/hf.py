"""Reads the folder of a transformers checkpoint (`nemotron3_5_asr`): JSON files and safetensors, sharded or not."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from legato.convert.architecture import measure
from legato.convert.checkpoint import Checkpoint, Weight
from legato.convert.checks import check_shapes, require
from legato.errors import CheckpointError
from legato.types import MelConfig

_MODEL_TYPE = "nemotron3_5_asr"

#: (pattern in a transformers name, its replacement in NeMo's name), applied in this order.
_RENAMES = (
    (r"encoder\.subsampling\.conv_in\.", "encoder.pre_encode.conv.0."),
    (r"encoder\.subsampling\.layers\.0\.depthwise_conv\.", "encoder.pre_encode.conv.2."),
    (r"encoder\.subsampling\.layers\.0\.pointwise_conv\.", "encoder.pre_encode.conv.3."),
    (r"encoder\.subsampling\.layers\.1\.depthwise_conv\.", "encoder.pre_encode.conv.5."),
    (r"encoder\.subsampling\.layers\.1\.pointwise_conv\.", "encoder.pre_encode.conv.6."),
    (r"encoder\.subsampling\.linear\.", "encoder.pre_encode.out."),
    (r"\.self_attn\.([qkv])_proj\.", r".self_attn.linear_\1."),
    (r"\.self_attn\.o_proj\.", ".self_attn.linear_out."),
    (r"\.self_attn\.relative_k_proj\.", ".self_attn.linear_pos."),
    (r"\.self_attn\.bias_([uv])$", r".self_attn.pos_bias_\1"),
    (r"\.conv\.norm\.", ".conv.batch_norm."),
    (r"^decoder\.embedding\.", "decoder.prediction.embed."),
    (r"^decoder\.lstm\.", "decoder.prediction.dec_rnn.lstm."),
    (r"^decoder\.decoder_projector\.", "joint.pred."),
    (r"^encoder_projector\.", "joint.enc."),
    (r"^joint\.head\.", "joint.joint_net.out."),
    (r"^prompt_projector\.linear_1\.", "prompt_kernel.0."),
    (r"^prompt_projector\.linear_2\.", "prompt_kernel.2."),
)


def open_transformers(path: Path) -> Checkpoint:
    """Open a folder written by `save_pretrained` of the model and its processor.

    Raises:
        CheckpointError: a file is missing or broken, or the model has another architecture.
    """
    config = _json(path, "config.json")
    if config.get("model_type") != _MODEL_TYPE:
        raise CheckpointError(
            f"{path}: another architecture: its model_type is {config.get('model_type')!r}, not {_MODEL_TYPE!r}."
        )
    processor = _json(path, "processor_config.json")
    encoder = _section(path, config, "encoder_config")
    _check_config(path, config, encoder)
    files = _weight_files(path)
    handles = {file: _open_weights(file) for file in set(files.values())}
    stored = {_rename(name): name for name in files}
    shapes = {name: tuple(handles[files[old]].get_slice(old).get_shape()) for name, old in stored.items()}
    default = int(encoder["default_num_lookahead_tokens"])
    rights = [int(right) for right in processor.get("supported_num_lookahead_tokens") or [default]]
    try:
        architecture = measure(
            shapes,
            left_context=int(encoder["sliding_window"]) - 1,
            right_contexts=(default, *(right for right in rights if right != default)),
            max_symbols=int(config.get("max_symbols_per_step") or 10),
            mel=_mel_config(path, processor),
            scaled_input=bool(encoder.get("scale_input", False)),
        )
    except KeyError as error:
        raise CheckpointError(f"{path}: another architecture: {error} is missing.") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: another architecture: {error}.") from error
    check_shapes(path, architecture, shapes)
    if (blank := int(config["blank_token_id"])) != architecture.vocabulary:
        raise CheckpointError(
            f"{path}: the blank id is {blank}, not {architecture.vocabulary}, the id after the last token."
        )
    prompts = _section(path, processor, "prompt_dictionary")
    weights = {name: partial(_read, handles[files[old]], old) for name, old in stored.items()}

    def release() -> None:
        # Every page that was read counts as memory of this process until no reference to the mapping is left.
        weights.clear()
        handles.clear()

    return Checkpoint(
        path=path,
        architecture=architecture,
        pieces=_pieces(path, architecture.vocabulary),
        prompt_dictionary={str(name): int(slot) for name, slot in prompts.items()},
        weights=weights,
        nbytes=sum(file.stat().st_size for file in handles),
        release=release,
    )


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        loaded = json.loads((path / name).read_text("utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: has no {name}, so it is not a complete transformers checkpoint.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path / name}: cannot be read ({error}).") from error
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path / name}: contains no JSON object.")
    return loaded


def _section(path: Path, config: dict[str, Any], name: str) -> dict[str, Any]:
    section = config.get(name)
    if not isinstance(section, dict) or not section:
        raise CheckpointError(f"{path}: its configuration has no {name}.")
    return section


def _check_config(path: Path, config: dict[str, Any], encoder: dict[str, Any]) -> None:
    require(
        path,
        "encoder",
        (
            ("model_type", encoder.get("model_type"), "nemotron_asr_streaming_encoder"),
            ("hidden_act", encoder.get("hidden_act", "silu"), "silu"),
            ("subsampling_factor", encoder.get("subsampling_factor", 8), 8),
            ("subsampling_conv_kernel_size", encoder.get("subsampling_conv_kernel_size", 3), 3),
            ("subsampling_conv_stride", encoder.get("subsampling_conv_stride", 2), 2),
            (
                "num_key_value_heads",
                encoder.get("num_key_value_heads", encoder.get("num_attention_heads")),
                encoder.get("num_attention_heads"),
            ),
        ),
    )
    require(path, "joint", (("hidden_act", config.get("hidden_act", "relu"), "relu"),))


def _mel_config(path: Path, processor: dict[str, Any]) -> MelConfig:
    extractor = _section(path, processor, "feature_extractor")
    return MelConfig(
        sample_rate=int(extractor["sampling_rate"]),
        mel_bins=int(extractor["feature_size"]),
        fft_length=int(extractor["n_fft"]),
        hop_length=int(extractor["hop_length"]),
        window_length=int(extractor["win_length"]),
        pre_emphasis=float(extractor.get("preemphasis") or 0.0),
        constants_dtype=str(extractor.get("mel_filters_dtype", "float32")),
    )


def _weight_files(path: Path) -> dict[str, Path]:
    """Name of every weight in the checkpoint -> the file that contains it."""
    if (path / "model.safetensors.index.json").is_file():
        index = _section(path, _json(path, "model.safetensors.index.json"), "weight_map")
        files = {str(name): path / str(file) for name, file in index.items()}
        for file in set(files.values()):
            if file.parent != path or not file.is_file():
                raise CheckpointError(f"{file}: this part of the sharded weights is missing.")
        return files
    single = path / "model.safetensors"
    if not single.is_file():
        raise CheckpointError(f"{path}: has neither model.safetensors nor model.safetensors.index.json.")
    return dict.fromkeys(_open_weights(single).keys(), single)


def _open_weights(file: Path) -> Any:
    try:
        return safe_open(str(file), framework="np")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: broken or truncated ({error}).") from error


def _rename(name: str) -> str:
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _read(handle: Any, name: str) -> Weight:
    return np.asarray(handle.get_tensor(name)).astype(np.float32, copy=False)


def _pieces(path: Path, count: int) -> list[str]:
    tokenizer = _json(path, "tokenizer.json")
    vocabulary = _section(path, tokenizer, "model").get("vocab")
    if isinstance(vocabulary, list):  # Unigram: a list of (piece, score)
        ids = {str(piece): number for number, (piece, _) in enumerate(vocabulary)}
    else:
        ids = {str(piece): int(number) for piece, number in (vocabulary or {}).items()}
    ids |= {str(token["content"]): int(token["id"]) for token in tokenizer.get("added_tokens") or []}
    by_id = {number: piece for piece, number in ids.items()}
    missing = [number for number in range(count) if number not in by_id]
    if missing:
        raise CheckpointError(f"{path / 'tokenizer.json'}: has no piece for the token {missing[0]} of {count}.")
    return [by_id[number] for number in range(count)]
