"""The model: configuration, initialization, and a training forward pass that is fast on one core.

``forward_features`` computes what ``Nemotron3_5AsrForRNNT.get_audio_features`` computes, from the
same weights. Depthwise convolutions are written as sums of shifted products, and 1x1 convolutions
as matrix products in channels-last layout, because the backward pass of the library's depthwise
convolutions takes most of the time at this size.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Nemotron3_5AsrConfig, Nemotron3_5AsrForRNNT

from training.common.depthwise import depthwise_strided, depthwise_time
from training.common.half import linear

LEFT_CONTEXT = 56
MEL_MEAN = -8.0
MEL_SCALE = 4.0


def build_config(settings: dict[str, Any], vocab_size: int) -> Nemotron3_5AsrConfig:
    """Return the configuration for ``[model]`` of config.toml; the blank is the last id."""
    return Nemotron3_5AsrConfig(
        vocab_size=vocab_size,
        blank_token_id=vocab_size - 1,
        decoder_hidden_size=settings["decoder_hidden_size"],
        num_decoder_layers=settings["num_decoder_layers"],
        prompt_intermediate_size=settings["prompt_intermediate_size"],
        encoder_config={
            "model_type": "nemotron_asr_streaming_encoder",
            "hidden_size": settings["hidden_size"],
            "intermediate_size": settings["intermediate_size"],
            "num_hidden_layers": settings["num_hidden_layers"],
            "num_attention_heads": settings["num_attention_heads"],
            "num_key_value_heads": settings["num_attention_heads"],
            "subsampling_conv_channels": settings["subsampling_conv_channels"],
            "num_mel_bins": 128,
            "sliding_window": LEFT_CONTEXT + 1,
            "default_num_lookahead_tokens": 3,
            "scale_input": False,
            "attention_bias": False,
            "convolution_bias": False,
            # The default of 0.1 everywhere harms a model of this size.
            "dropout": 0.0,
            "activation_dropout": 0.0,
            "attention_dropout": 0.0,
            "dropout_positions": 0.0,
            "layerdrop": 0.0,
        },
    )


@torch.no_grad()
def initialize(model: Nemotron3_5AsrForRNNT, residual_scale: float, sample: Tensor, lengths: Tensor) -> None:
    """Initialize so that the residual branches pass the input on from the first step.

    ``sample`` [B, T, 128] log-mel and ``lengths`` [B] set the scale of the subsampling output.
    """
    encoder = model.encoder
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    # The first convolution removes the mean of the log-mel values and scales them.
    first = encoder.subsampling.conv_in
    first.weight.div_(MEL_SCALE)
    assert first.bias is not None
    first.bias.copy_(-MEL_MEAN * first.weight.sum(dim=(1, 2, 3)))
    for block in encoder.layers:
        block.conv.depthwise_conv.weight.normal_(0.0, 1.0 / 3.0)
        for last in (block.feed_forward1.linear2, block.feed_forward2.linear2, block.self_attn.o_proj):
            last.weight.mul_(residual_scale)
        block.conv.pointwise_conv2.weight.mul_(residual_scale)
    # One of 128 one-hot inputs against 128 unit-variance features: scale the language up.
    hidden = encoder.config.hidden_size
    model.prompt_projector.linear_1.weight[:, hidden:].mul_(4.0)
    model.decoder.embedding.weight.normal_(0.0, 0.5)
    _whiten(model, sample, lengths)


def _whiten(model: Nemotron3_5AsrForRNNT, sample: Tensor, lengths: Tensor) -> None:
    """Set the subsampling projection to the whitened principal components of its input.

    Loudness makes nearly all of the variation of log-mel values; whitened, the finer differences
    between sounds reach the first layers at the same scale.
    """
    last = model.encoder.subsampling.linear
    hidden, valid = _convolved(model, sample, lengths)
    hidden = hidden[torch.arange(hidden.shape[1], device=hidden.device) < valid[:, None]]
    mean = hidden.mean(dim=0)
    hidden = hidden - mean
    values, vectors = torch.linalg.eigh((hidden.T @ hidden / len(hidden)).double())
    size = last.out_features
    values, vectors = values[-size:], vectors[:, -size:]
    components = (vectors / torch.sqrt(values + 1e-4 * values[-1])).T.float()
    # A random rotation spreads the components over all channels, as LayerNorm expects.
    rotation = torch.linalg.qr(torch.randn(size, size))[0].to(hidden.device)
    projection = rotation @ components
    scale = (hidden @ projection.T).std()
    last.weight.copy_(projection / scale)
    last.bias.copy_(-(projection @ mean) / scale)


def _halve(lengths: Tensor) -> Tensor:
    """Frames after one causal stride-2 convolution (kernel 3, padding 2 left and 1 right)."""
    return lengths // 2 + 1


def _keep(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Zero frames past the end; hidden [B, T, F, C]."""
    if not hidden.is_cuda and bool((lengths >= hidden.shape[1]).all()):  # a GPU would have to be waited for
        return hidden
    mask = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
    return hidden * mask[:, :, None, None]


def subsample(model: Nemotron3_5AsrForRNNT, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return [B, ceil-ish(T/8), D] and the valid frames [B] from mel [B, T, 128]."""
    hidden, lengths = _convolved(model, mel, lengths)
    module = model.encoder.subsampling.linear
    return linear(hidden, module.weight, module.bias), lengths


def _convolved(model: Nemotron3_5AsrForRNNT, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output of the strided convolutions [B, T', C * F], and the valid frames [B]."""
    module = model.encoder.subsampling
    # First convolution, one input channel: patches [B, T/2, F/2, 9] times [9, C].
    padded = F.pad(mel, (2, 1, 2, 1))
    patches = padded.unfold(1, 3, 2).unfold(2, 3, 2).flatten(3)
    # addmm, not linear: its weight gradient is several times faster for a product this small.
    hidden = torch.addmm(module.conv_in.bias, patches.flatten(0, 2), module.conv_in.weight.flatten(1).T)
    hidden = hidden.view(*patches.shape[:3], -1)
    lengths = _halve(lengths)
    hidden = torch.relu_(_keep(hidden, lengths))
    for layer in module.layers:
        padded = F.pad(hidden, (0, 0, 2, 1, 2, 1))
        hidden = depthwise_strided(padded, layer.depthwise_conv.weight, layer.depthwise_conv.bias)
        hidden = linear(hidden, layer.pointwise_conv.weight.flatten(1), layer.pointwise_conv.bias)
        lengths = _halve(lengths)
        hidden = torch.relu_(_keep(hidden, lengths))
    # [B, T, F, C] -> [B, T, C * F], the order in which the linear layer was defined.
    return hidden.transpose(2, 3).flatten(2), lengths


def chunk_mask(frames: int, lengths: Tensor, right: int) -> Tensor:
    """Return [B, T, T] booleans: True where frame q may see frame k (``chunked_limited``)."""
    index = torch.arange(frames, device=lengths.device)
    chunk = index // (right + 1)
    difference = chunk[:, None] - chunk[None, :]
    allowed = (difference >= 0) & (difference <= LEFT_CONTEXT // (right + 1))
    valid = index < lengths[:, None]
    # A padding frame attends to itself, so that no row of the softmax is empty.
    return (allowed & valid[:, None, :]) | torch.eye(frames, dtype=torch.bool, device=lengths.device)


def _positions(frames: int, size: int, device: torch.device) -> Tensor:
    """Return sinusoids [2T-1, D] for the distances T-1 .. -(T-1)."""
    inverse = 10000.0 ** (-torch.arange(0, size, 2, device=device) / size)
    angles = torch.arange(frames - 1, -frames, -1.0, device=device)[:, None] * inverse
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def _attend(attention: Any, hidden: Tensor, positions: Tensor, bias: Tensor) -> Tensor:
    """Relative-position attention; hidden [B, T, D], positions [2T-1, D], bias [B, 1, T, T] (0 or -inf)."""
    batch, frames, size = hidden.shape
    heads, width = attention.bias_u.shape
    weight = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
    query, key, value = linear(hidden, weight).view(batch, frames, 3, heads, width).permute(2, 0, 3, 1, 4)
    relative = attention.relative_k_proj(positions).view(-1, heads, width).permute(1, 2, 0)
    by_position = (query + attention.bias_v[:, None]) @ relative  # [B, H, T, 2T-1]
    # Row q needs the distances q - k: shift row q left by T-1-q.
    shifted = F.pad(by_position, (1, 0)).view(batch, heads, -1, frames)[:, :, 1:]
    by_position = shifted.reshape(batch, heads, frames, 2 * frames - 1)[..., :frames]
    by_content = (query + attention.bias_u[:, None]) @ key.transpose(2, 3)
    weights = torch.softmax((by_content + by_position) * attention.scaling + bias, dim=-1)
    return linear((weights @ value).transpose(1, 2).reshape(batch, frames, size), attention.o_proj.weight)


def _convolve(module: Any, hidden: Tensor) -> Tensor:
    """Pointwise, GLU, causal depthwise kernel 9, LayerNorm, SiLU, pointwise; hidden [B, T, D]."""
    hidden = F.glu(linear(hidden, module.pointwise_conv1.weight[:, :, 0]), dim=-1)
    weight = module.depthwise_conv.weight[:, 0]
    hidden = depthwise_time(F.pad(hidden, (0, 0, weight.shape[1] - 1, 0)), weight)
    return linear(F.silu(module.norm(hidden)), module.pointwise_conv2.weight[:, :, 0])


def _feed_forward(module: Any, hidden: Tensor) -> Tensor:
    return linear(F.silu(linear(hidden, module.linear1.weight)), module.linear2.weight)


def forward_layers(
    model: Nemotron3_5AsrForRNNT, mel: Tensor, lengths: Tensor, right: int
) -> tuple[list[Tensor], Tensor]:
    """Return the output of each encoder layer [B, T', D], and valid frames [B].

    mel [B, T, 128], lengths [B] mel frames, right context in encoder frames.
    """
    hidden, lengths = subsample(model, mel, lengths)
    frames = hidden.shape[1]
    mask = chunk_mask(frames, lengths, right)
    bias = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, -math.inf)[:, None]
    positions = _positions(frames, hidden.shape[2], hidden.device)
    outputs = []
    for block in model.encoder.layers:
        hidden = hidden + 0.5 * _feed_forward(block.feed_forward1, block.norm_feed_forward1(hidden))
        hidden = hidden + _attend(block.self_attn, block.norm_self_att(hidden), positions, bias)
        hidden = hidden + _convolve(block.conv, block.norm_conv(hidden))
        hidden = hidden + 0.5 * _feed_forward(block.feed_forward2, block.norm_feed_forward2(hidden))
        hidden = block.norm_out(hidden)
        outputs.append(hidden)
    return outputs, lengths


def fuse_prompt(model: Nemotron3_5AsrForRNNT, hidden: Tensor, prompts: Tensor) -> Tensor:
    """Return encoder frames after the language prompt [B, T', D]; prompts [B] are slots."""
    # A one-hot input picks one column of the weight: add it instead of multiplying by zeros.
    projector = model.prompt_projector
    weight, size = projector.linear_1.weight, hidden.shape[2]
    language = weight[:, size:].T[prompts] + projector.linear_1.bias
    fused = torch.relu(linear(hidden, weight[:, :size]) + language[:, None])
    return linear(fused, projector.linear_2.weight, projector.linear_2.bias)


def forward_features(
    model: Nemotron3_5AsrForRNNT, mel: Tensor, lengths: Tensor, prompts: Tensor, right: int
) -> tuple[Tensor, Tensor]:
    """Return the encoder output with the language prompt [B, T', D], and valid frames [B].

    mel [B, T, 128], lengths [B] mel frames, prompts [B] slots, right context in encoder frames.
    """
    outputs, lengths = forward_layers(model, mel, lengths, right)
    return fuse_prompt(model, outputs[-1], prompts), lengths
