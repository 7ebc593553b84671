"""Reads the folder of a transformers checkpoint (`nemotron3_5_asr`): JSON files and safetensors, sharded or not."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from legato.convert.architecture import measure
from legato.convert.checkpoint import Checkpoint, Weight
from legato.convert.checks import check_shapes, prompt_slots, require
from legato.convert.license import read_license
from legato.errors import CheckpointError
from legato.model.fields import Fields, read_json
from legato.types import MelConfig

_MODEL_TYPE = "nemotron3_5_asr"
_CONFIG, _PROCESSOR = "config.json", "processor_config.json"
_JSON_BYTES = 128 << 20

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
    config = _json(path, _CONFIG)
    if config.get("model_type") != _MODEL_TYPE:
        raise CheckpointError(
            f"{path}: another architecture: its model_type is {config.get('model_type')!r}, not {_MODEL_TYPE!r}."
        )
    processor = _json(path, _PROCESSOR)
    root, audio = (Fields(each, f"{path}: {name}") for each, name in ((config, _CONFIG), (processor, _PROCESSOR)))
    encoder = root.section("encoder_config")
    _check_config(path, config, config.get("encoder_config") or {})
    files = _weight_files(path)
    handles = {file: _open_weights(file) for file in set(files.values())}
    stored = {_rename(name): name for name in files}
    shapes = {name: tuple(handles[files[old]].get_slice(old).get_shape()) for name, old in stored.items()}
    default = encoder.integer("default_num_lookahead_tokens", 0, 1000)
    rights = audio.integers("supported_num_lookahead_tokens", 0, 1000, 100, [default])
    try:
        architecture = measure(
            shapes,
            left_context=encoder.integer("sliding_window", 2, 1 << 20) - 1,
            right_contexts=(default, *(right for right in rights if right != default)),
            max_symbols=root.integer("max_symbols_per_step", 1, 100, 10),
            mel=_mel_config(audio.section("feature_extractor")),
            scaled_input=encoder.flag("scale_input", False),
        )
    except KeyError as error:
        raise CheckpointError(f"{path}: another architecture: {error} is missing.") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: another architecture: {error}.") from error
    check_shapes(path, architecture, shapes)
    if (blank := root.integer("blank_token_id", 0, 1 << 30)) != architecture.vocabulary:
        raise CheckpointError(
            f"{path}: the blank id is {blank}, not {architecture.vocabulary}, the id after the last token."
        )
    weights = {name: partial(_read, handles[files[old]], old) for name, old in stored.items()}

    def release() -> None:
        # Every page that was read counts as memory of this process until no reference to the mapping is left.
        weights.clear()
        handles.clear()

    return Checkpoint(
        path=path,
        architecture=architecture,
        pieces=_pieces(path, architecture.vocabulary),
        prompt_dictionary=prompt_slots(audio, "prompt_dictionary", architecture.prompts),
        weights=weights,
        license=read_license(path),
        nbytes=sum(file.stat().st_size for file in handles),
        release=release,
    )


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        loaded = read_json(path / name, _JSON_BYTES)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: has no {name}, so it is not a complete transformers checkpoint.") from None
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path / name}: contains no JSON object.")
    return loaded


def _check_config(path: Path, config: dict[str, Any], encoder: Mapping[str, Any]) -> None:
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


def _mel_config(extractor: Fields) -> MelConfig:
    return MelConfig(
        sample_rate=extractor.integer("sampling_rate", 1, 1 << 20),
        mel_bins=extractor.integer("feature_size", 1, 1 << 20),
        fft_length=extractor.integer("n_fft", 1, 1 << 20),
        hop_length=extractor.integer("hop_length", 1, 1 << 20),
        window_length=extractor.integer("win_length", 1, 1 << 20),
        pre_emphasis=extractor.number("preemphasis", 0, 1, 0.0),
        constants_dtype=extractor.text("mel_filters_dtype", 40, "float32"),
    )


def _weight_files(path: Path) -> dict[str, Path]:
    """Name of every weight in the checkpoint -> the file that contains it."""
    if (path / "model.safetensors.index.json").is_file():
        index = Fields(_json(path, "model.safetensors.index.json"), f"{path}: index").section("weight_map")
        files = {name: path / str(file) for name, file in index.items(100_000)}
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
    try:
        vocabulary = tokenizer["model"]["vocab"]
        if isinstance(vocabulary, list):  # Unigram: a list of (piece, score)
            ids = {str(piece): number for number, (piece, _) in enumerate(vocabulary)}
        else:
            ids = {str(piece): int(number) for piece, number in (vocabulary or {}).items()}
        ids |= {str(token["content"]): int(token["id"]) for token in tokenizer.get("added_tokens") or []}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path / 'tokenizer.json'}: is no tokenizer of this model ({error!r:.80}).") from error
    by_id = {number: piece for piece, number in ids.items()}
    missing = next((number for number in range(count) if number not in by_id), None)
    if missing is not None:
        raise CheckpointError(f"{path / 'tokenizer.json'}: has no piece for the token {missing} of {count}.")
    return [by_id[number] for number in range(count)]
