"""Writes GGUF files as NeMo-Speech.cpp and transcribe.cpp do, from a checkpoint that Legato opened."""

import re
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from legato.convert.checkpoint import Checkpoint
from legato.convert.open import open_checkpoint

F32, F16, Q8_0 = (getattr(gguf.GGMLQuantizationType, name) for name in ("F32", "F16", "Q8_0"))

_LINEAR = re.compile(r"linear|pointwise_conv|pre_encode\.out|joint\.|lstm\.weight")
_TO_PARAKEET = (
    ("encoder.pre_encode.", "enc.pre_encode."),
    ("encoder.layers.", "enc.blocks."),
    ("norm_feed_forward", "norm_ff"),
    ("feed_forward", "ff"),
    ("norm_self_att", "norm_attn"),
    ("self_attn", "attn"),
    ("pointwise_conv", "pointwise"),
    ("depthwise_conv", "depthwise"),
    ("batch_norm", "bn"),
    ("decoder.prediction.embed", "pred.embed"),
    ("joint.joint_net.out", "joint.out"),
    ("prompt_kernel", "prompt.mlp"),
)


def write_asr(source: Path, target: Path, linear: gguf.GGMLQuantizationType, *, planar: bool = False) -> None:
    """Write what NeMo-Speech.cpp writes: linear layers in the given type, the rest in F32 and F16."""
    with _Source(source) as checkpoint:
        a = checkpoint.architecture
        writer = gguf.GGUFWriter(str(target), arch="asr")
        writer.add_string("asr.head_type", "rnnt")
        for key, number in (
            ("encoder.d_model", a.width),
            ("encoder.subsampling_factor", 8),
            ("encoder.train_left_ctx", a.left_context),
            ("encoder.train_right_ctx", a.right_contexts[0]),
            ("preprocessor.sample_rate", a.mel.sample_rate),
            ("preprocessor.n_fft", a.mel.fft_length),
            ("preprocessor.features", a.mel.mel_bins),
            ("rnnt.max_symbols_per_step", a.max_symbols),
        ):
            writer.add_uint32(f"asr.{key}", number)
        for key, text in (
            ("encoder.conv_norm", "layer_norm"),
            ("encoder.conv_context", "causal"),
            ("encoder.att_context_style", "chunked_limited"),
            ("encoder.q8_layout", "tensor_planar_v1" if planar else "block_q8_0"),
            ("encoder.qkv_q8_layout", "tensor_planar_v1" if planar else "block_q8_0"),
            ("preprocessor.normalize", "NA"),
        ):
            writer.add_string(f"asr.{key}", text)
        writer.add_bool("asr.encoder.xscaling", a.input_scale != 1.0)
        writer.add_float32("asr.preprocessor.window_size", a.mel.window_length / a.mel.sample_rate)
        writer.add_float32("asr.preprocessor.window_stride", a.mel.hop_length / a.mel.sample_rate)
        writer.add_float32("asr.preprocessor.preemph", a.mel.pre_emphasis)
        writer.add_array("asr.tokenizer.vocab", checkpoint.pieces)
        prompts = [f"{language}:{slot}" for language, slot in checkpoint.prompt_dictionary.items()]
        writer.add_array("asr.rnnt.prompt_dictionary", prompts)
        writer.add_tensor("encoder.pos_enc.pe", np.zeros((9, a.width), np.float32))
        writer.add_tensor("preprocessor.fb", np.zeros((a.mel.mel_bins, 257), np.float32))
        for name in a.weight_shapes():
            weight = checkpoint.read(name)
            stored = re.sub(r"\.lstm\.(weight|bias)_(ih|hh)_l(\d+)$", r".lstm.\2_l\3.\1", name)
            stored = stored.replace("joint_net.out", "joint_net.2")
            kind = linear if _LINEAR.search(name) and name.endswith(("weight", "_l0", "_l1")) else F32
            kind = F32 if "bias" in name else kind
            if weight.ndim == 3 and "pointwise_conv" in name:
                weight = weight[..., 0]
            if "depthwise" in name or "pre_encode.conv" in name or "embed" in name:
                kind = F16 if name.endswith("weight") and linear != F32 else F32
            kind = F16 if kind == Q8_0 and weight.shape[-1] % 32 else kind  # narrower than a block of Q8_0
            _add(writer, stored, weight, kind, planar=planar and name.startswith("encoder."))
        _write(writer)


def write_parakeet(source: Path, target: Path, linear: gguf.GGMLQuantizationType) -> None:
    """Write what transcribe.cpp writes: all in F32, or re-quantized."""
    with _Source(source) as checkpoint:
        a = checkpoint.architecture
        rights = sorted(a.right_contexts, reverse=True)
        writer = gguf.GGUFWriter(str(target), arch="parakeet")
        for key, text in (
            ("stt.parakeet.head_kind", "rnnt"),
            ("stt.parakeet.encoder.att_context_style", "chunked_limited"),
            ("stt.parakeet.encoder.conv_norm_type", "layer_norm"),
            ("stt.parakeet.joint.activation", "relu"),
            ("stt.frontend.normalize", "none"),
            ("stt.frontend.window", "hann"),
        ):
            writer.add_string(key, text)
        for key, number in (
            ("stt.parakeet.encoder.subsampling_factor", 8),
            ("stt.frontend.num_mels", a.mel.mel_bins),
            ("stt.frontend.sample_rate", a.mel.sample_rate),
            ("stt.frontend.n_fft", a.mel.fft_length),
            ("stt.frontend.win_length", a.mel.window_length),
            ("stt.frontend.hop_length", a.mel.hop_length),
            ("tokenizer.ggml.blank_token_id", a.vocabulary),
        ):
            writer.add_uint32(key, number)
        writer.add_bool("stt.parakeet.encoder.xscaling", a.input_scale != 1.0)
        writer.add_int32("stt.parakeet.encoder.att_context_left", a.left_context)
        writer.add_int32("stt.parakeet.encoder.att_context_right", rights[0])
        writer.add_int32("stt.parakeet.encoder.conv_context_right", 0)
        flat = [number for right in rights for number in (a.left_context, right)]
        writer.add_array("stt.parakeet.encoder.att_context_size_choices", flat)
        writer.add_float32("stt.frontend.pre_emphasis", a.mel.pre_emphasis)
        writer.add_array("tokenizer.ggml.tokens", [*checkpoint.pieces, "<blank>"])
        writer.add_array("stt.parakeet.prompt.dictionary.locales", list(checkpoint.prompt_dictionary))
        writer.add_array("stt.parakeet.prompt.dictionary.indices", list(checkpoint.prompt_dictionary.values()))
        for name in a.weight_shapes():
            if ".lstm.bias_hh" in name:
                continue
            weight = checkpoint.read(name)
            stored = name
            for old, new in _TO_PARAKEET:
                stored = stored.replace(old, new)
            if match := re.search(r"lstm\.(weight_ih|weight_hh|bias_ih)_l(\d+)$", name):
                stored = f"pred.lstm.{match[2]}." + {"weight_ih": "Wx", "weight_hh": "Wh", "bias_ih": "bias"}[match[1]]
                if match[1] == "bias_ih":
                    weight = weight + checkpoint.read(name.replace("_ih_", "_hh_"))
            keep = weight.ndim != 2 or "pos_bias" in name or weight.shape[-1] % 32
            _add(writer, stored, weight, F32 if keep else linear)
        _write(writer)


class _Source:
    """A checkpoint that is released at the end."""

    def __init__(self, path: Path) -> None:
        self._checkpoint = open_checkpoint(path)

    def __enter__(self) -> Checkpoint:
        return self._checkpoint

    def __exit__(self, *_: object) -> None:
        self._checkpoint.release()


def _add(
    writer: gguf.GGUFWriter,
    name: str,
    weight: NDArray[np.float32],
    kind: gguf.GGMLQuantizationType,
    *,
    planar: bool = False,
) -> None:
    if kind == F16:
        writer.add_tensor(name, weight.astype(np.float16))
    elif kind == F32:
        writer.add_tensor(name, np.ascontiguousarray(weight, np.float32))
    else:
        packed = gguf.quants.quantize(np.ascontiguousarray(weight), kind)
        if planar:
            blocks = packed.reshape(-1, 34)
            packed = np.concatenate([blocks[:, 2:].ravel(), blocks[:, :2].ravel()]).reshape(packed.shape)
        writer.add_tensor(name, packed, raw_dtype=kind)


def _write(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
