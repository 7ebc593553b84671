"""Load a NeMo checkpoint's weights into transformers, and print how far the two frameworks differ.

    python compare_frameworks.py MODEL.nemo --audio AUDIO...

It proves the table of weight names in README.md, and shows what each framework does at the tail, for very short audio
and when streaming. Needs both nemo-toolkit 3.0.0 and transformers 5.23.0.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nemo.collections.asr.models import ASRModel
from torch import Tensor
from transformers import (
    DynamicCache,
    Nemotron3_5AsrConfig,
    Nemotron3_5AsrForRNNT,
    NemotronAsrStreamingEncoderConfig,
    NemotronAsrStreamingFeatureExtractor,
)
from transformers.models.nemotron_asr_streaming.modeling_nemotron_asr_streaming import (
    NemotronAsrStreamingEncoderCausalConvPaddingCache,
)

import nemo_models
from clips import SAMPLE_RATE, read_clips

# NeMo's name (a pattern) and transformers' name for it.
NAMES = (
    (r"encoder\.pre_encode\.conv\.0\.", "encoder.subsampling.conv_in."),
    (r"encoder\.pre_encode\.conv\.2\.", "encoder.subsampling.layers.0.depthwise_conv."),
    (r"encoder\.pre_encode\.conv\.3\.", "encoder.subsampling.layers.0.pointwise_conv."),
    (r"encoder\.pre_encode\.conv\.5\.", "encoder.subsampling.layers.1.depthwise_conv."),
    (r"encoder\.pre_encode\.conv\.6\.", "encoder.subsampling.layers.1.pointwise_conv."),
    (r"encoder\.pre_encode\.out\.", "encoder.subsampling.linear."),
    (r"\.conv\.batch_norm\.", ".conv.norm."),
    (r"\.self_attn\.linear_q\.", ".self_attn.q_proj."),
    (r"\.self_attn\.linear_k\.", ".self_attn.k_proj."),
    (r"\.self_attn\.linear_v\.", ".self_attn.v_proj."),
    (r"\.self_attn\.linear_out\.", ".self_attn.o_proj."),
    (r"\.self_attn\.linear_pos\.", ".self_attn.relative_k_proj."),
    (r"\.self_attn\.pos_bias_([uv])$", r".self_attn.bias_\1"),
    (r"^decoder\.prediction\.embed\.", "decoder.embedding."),
    (r"^decoder\.prediction\.dec_rnn\.lstm\.", "decoder.lstm."),
    (r"^joint\.pred\.", "decoder.decoder_projector."),
    (r"^joint\.enc\.", "encoder_projector."),
    (r"^joint\.joint_net\.2\.", "joint.head."),
    (r"^prompt_kernel\.0\.", "prompt_projector.linear_1."),
    (r"^prompt_kernel\.2\.", "prompt_projector.linear_2."),
)
# Parts of a NeMo checkpoint that transformers has no weights for.
DROPPED = ("preprocessor.", "ctc_decoder.")
# Tails: every length modulo one encoder frame.
LENGTHS = (*range(20), *range(96, 108))
SHORT = (0, 1, 100, 159, 160, 320, 1000, 1280, 1360)


def rename(name: str) -> str:
    """Transformers' name of the weight that NeMo calls `name`."""
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def converted(model: Any) -> Nemotron3_5AsrForRNNT:
    """A transformers model with the weights of a NeMo model, each of them used, none left over."""
    encoder = model.cfg.encoder
    config = Nemotron3_5AsrConfig(
        vocab_size=model.decoder.blank_idx + 1,
        blank_token_id=model.decoder.blank_idx,
        decoder_hidden_size=model.decoder.pred_hidden,
        num_decoder_layers=model.decoder.pred_rnn_layers,
        num_prompts=model.num_prompts,
        prompt_intermediate_size=model.prompt_kernel[0].out_features,
        default_prompt_id=0,
        encoder_config=NemotronAsrStreamingEncoderConfig(
            hidden_size=encoder.d_model,
            num_hidden_layers=encoder.n_layers,
            num_attention_heads=encoder.n_heads,
            intermediate_size=encoder.d_model * encoder.ff_expansion_factor,
            attention_bias=encoder.use_bias,
            convolution_bias=encoder.use_bias,
            conv_kernel_size=encoder.conv_kernel_size,
            subsampling_conv_channels=encoder.subsampling_conv_channels,
            num_mel_bins=encoder.feat_in,
            scale_input=encoder.xscaling,
            sliding_window=model.encoder.att_context_size[0] + 1,
            default_num_lookahead_tokens=model.encoder.att_context_size[1],
        ),
    )
    other = Nemotron3_5AsrForRNNT(config).eval()
    weights = {rename(name): weight for name, weight in model.state_dict().items() if not name.startswith(DROPPED)}
    other.load_state_dict(weights, strict=True)
    return other


def encode(model: Nemotron3_5AsrForRNNT, mel: Tensor, length: Tensor, right: int) -> Tensor:
    """Transformers' encoder frames [T, D] before the prompt from NeMo's log-mel [1, 128, T']."""
    mask = torch.arange(mel.shape[-1])[None] < length
    output = model.encoder(mel.transpose(1, 2), attention_mask=mask, num_lookahead_tokens=right)
    return output.last_hidden_state[0, : int(output.attention_mask.sum())]


def encode_streaming(model: Nemotron3_5AsrForRNNT, mel: Tensor, right: int) -> Tensor:
    """The same [T, D] chunk by chunk with transformers' caches; a last incomplete chunk is left out."""
    keys = DynamicCache(config=model.encoder.config)
    padding = NemotronAsrStreamingEncoderCausalConvPaddingCache()
    frames, start, size = [], 0, 1 + 8 * right
    while start + size <= mel.shape[-1]:
        chunk = mel[:, :, start : start + size].transpose(1, 2)
        output = model.encoder(
            chunk, past_key_values=keys, padding_cache=padding, num_lookahead_tokens=right, use_cache=True
        )
        frames.append(output.last_hidden_state[0])
        start, size = start + size, 8 * (right + 1)
    return torch.cat(frames) if frames else torch.zeros(0, model.encoder.config.hidden_size)


def nemo_encode(model: Any, mel: Tensor, length: Tensor) -> Tensor:
    """NeMo's encoder frames [T, D] before the prompt."""
    encoded, lengths = model.encoder(audio_signal=mel, length=length)
    return encoded[0].T[: int(lengths[0])]


def difference(one: Tensor, other: Tensor) -> str:
    """Counts and the largest difference over the frames both have."""
    count = min(len(one), len(other))
    largest = float((one[:count] - other[:count]).abs().max()) if count else float("nan")
    return f"{len(one)} and {len(other)} frames, differ by {largest:.1e}"


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--audio", type=Path, nargs="+", required=True)
    parser.add_argument("--rights", type=int, nargs="+", default=[0, 1, 3, 6, 13])
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    model = ASRModel.restore_from(str(arguments.model), map_location="cpu").eval()
    left = model.encoder.att_context_size[0]
    other = converted(model)
    extractor = NemotronAsrStreamingFeatureExtractor(feature_size=128)

    print("log-mel, NeMo and transformers")
    clips = read_clips(arguments.audio)
    noise = (0.1 * np.random.default_rng(7).standard_normal(max(SHORT))).astype(np.float32)
    for name, audio in [*clips.items(), *((str(count), noise[:count]) for count in SHORT)]:
        try:
            mine, mine_length = nemo_models.mel_of(model, audio)
            ours = f"{int(mine_length)}/{mine.shape[-1]}"
        except Exception as error:  # a probe reports whatever a framework raises
            mine, ours = None, f"raises {type(error).__name__}: {str(error)[:80]!r}"
        try:
            features = extractor(audio, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            hers = features["input_features"]
            theirs = f"{int(features['attention_mask'].sum())}/{hers.shape[1]}"
        except Exception as error:
            hers, theirs = None, f"raises {type(error).__name__}: {str(error)[:80]!r}"
        gap = "" if mine is None or hers is None else f"differ by {float((mine[0].T - hers[0]).abs().max()):.1e}"
        print(f"  {name:20s} valid/returned {ours} and {theirs} {gap}")

    print("encoder, NeMo offline and transformers offline")
    for name, audio in clips.items():
        mel, length = nemo_models.mel_of(model, audio)
        for right in arguments.rights:
            nemo_models.use_context(model, left, right)
            frames = nemo_encode(model, mel, length)
            print(f"  {name:20s} R={right:2d} {difference(frames, encode(other, mel, length, right))};"
                  f" transformers streaming {difference(frames, encode_streaming(other, mel, right))}")  # fmt: skip
    print("encoder by the number of valid mel frames, R = 3")
    mel, _ = nemo_models.mel_of(model, clips["joined"])
    nemo_models.use_context(model, left, 3)
    for count in LENGTHS:
        length = torch.tensor([count])
        part = mel[:, :, : count + 1].clone()
        part[:, :, count:] = 0.0
        frames = nemo_encode(model, part, length)
        bare = nemo_encode(model, part[:, :, :count], length)
        assert len(frames) == (count + 6) // 8 + 1
        print(f"  {count:3d} {difference(frames, encode(other, part, length, 3))};"
              f" without the extra column {difference(frames, bare)}")  # fmt: skip

    print("prediction network and joint")
    tokens = torch.randint(model.decoder.blank_idx, (1, 12))
    mine, _ = model.decoder.predict(tokens, None, add_sos=True, batch_size=1)
    primed = torch.cat([torch.full((1, 1), model.decoder.blank_idx), tokens], dim=1)
    hers = other.decoder(primed)
    print("  joint's share of the prediction network", difference(model.joint.pred(mine)[0], hers[0]))


if __name__ == "__main__":
    main()
