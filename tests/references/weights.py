"""Random weights that behave like trained ones, for both frameworks.

Default initialisation gives models whose output hardly depends on the audio: the subsampling drowns in the residual
branches, and greedy search repeats one token. The functions here draw weights by fan-in, scale the subsampling to the
residual stream, and fit the joint so that tokens vary and blanks occur.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# Silence lies near -16.6 and loud speech near 0, so this centres log-mel before the first convolution.
MEL_MEAN = -7.0
MEL_SCALE = 0.25

_RESIDUAL_OUTPUTS = ("linear2.weight", "o_proj.weight", "linear_out.weight", "pointwise_conv2.weight")
_RESIDUAL_GAIN = 0.5
_SUBSAMPLING = ("subsampling", "pre_encode")


def draw_weights(model: nn.Module, seed: int) -> None:
    """Draw every parameter of `model` in place: matrices by fan-in, norms near one, vectors near zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "embed" in name:
                parameter.copy_(noise)
            elif name.endswith(("bias_u", "bias_v")):
                parameter.copy_(0.3 * noise)
            elif parameter.ndim >= 2:
                parameter.copy_(noise * (_gain(name) / math.sqrt(parameter[0].numel())))
            elif name.endswith("weight"):
                parameter.copy_(1.0 + 0.1 * noise)
            else:
                parameter.copy_(0.1 * noise)


def _gain(name: str) -> float:
    if name.endswith(_RESIDUAL_OUTPUTS):
        return _RESIDUAL_GAIN
    if any(part in name for part in _SUBSAMPLING):
        return math.sqrt(2.0)
    return 1.5 if "lstm" in name else 1.2


def strengthen_prompt(first_linear: nn.Linear, width: int, gain: float) -> None:
    """Scale the weights of the prompt slots (the inputs after `width`), so that a wrong slot changes the tokens."""
    with torch.no_grad():
        first_linear.weight[:, width:].mul_(gain)


def centre_mel(first_conv: nn.Conv2d) -> None:
    """Fold the mean and the scale of log-mel into the first convolution of the subsampling."""
    assert first_conv.bias is not None
    with torch.no_grad():
        first_conv.weight.mul_(MEL_SCALE)
        first_conv.bias.sub_(MEL_MEAN * first_conv.weight.sum(dim=(1, 2, 3)))


def standardise_output(layer: nn.Linear, outputs: Tensor) -> None:
    """Change `layer` so that its `outputs` [N, D] get zero mean, and rms 1 over all of them."""
    mean = outputs.mean(dim=0)
    scale = 1.0 / float((outputs - mean).square().mean().sqrt())
    with torch.no_grad():
        layer.weight.mul_(scale)
        layer.bias.copy_((layer.bias - mean) * scale)


def whiten_input(layer: nn.Linear, inputs: Tensor, generator: torch.Generator, rank: int = 24) -> None:
    """Give `layer` random weights whose outputs vary evenly over the main directions of `inputs` [N, D]."""
    mean = inputs.mean(dim=0)
    _, spread, directions = torch.linalg.svd(inputs - mean, full_matrices=False)
    rank = min(rank, spread.numel())
    spread, directions = spread[:rank], directions[:rank]
    # The floor keeps weak directions weak: amplified, they would magnify rounding noise.
    scale = math.sqrt(len(inputs)) / spread.clamp(min=0.1 * float(spread[0]))
    mixing = torch.randn(layer.out_features, rank, generator=generator) / math.sqrt(rank)
    with torch.no_grad():
        layer.weight.copy_(mixing @ (scale[:, None] * directions))
        layer.bias.copy_(-(layer.weight @ mean))


def fit_joint(
    encoder: nn.Linear,
    predictor: nn.Linear,
    head: nn.Linear,
    frames: Tensor,
    states: Tensor,
    *,
    blank: int,
    seed: int,
    blank_share: float,
    logit_std: float = 4.0,
) -> None:
    """Fit the joint to encoder `frames` [N, D] and prediction-network `states` [M, P].

    Afterwards logits have zero mean over pairs of frame and state, `logit_std` over tokens, and blank wins about
    `blank_share` of the pairs.
    """
    generator = torch.Generator().manual_seed(seed)
    whiten_input(encoder, frames, generator)
    whiten_input(predictor, states, generator)
    with torch.no_grad():
        count = 512
        frame = frames[torch.randint(len(frames), (count,), generator=generator)]
        state = states[torch.randint(len(states), (count,), generator=generator)]
        hidden = torch.relu(encoder(frame) + predictor(state))
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator))
        head.bias.zero_()
        logits = head(hidden)
        scale = logit_std / float((logits - logits.mean(dim=0)).std())
        head.weight.mul_(scale)
        head.bias.copy_(-scale * logits.mean(dim=0))
        logits = head(hidden)
        others = logits.clone()
        others[:, blank] = -torch.inf
        lead = others.max(dim=1).values - logits[:, blank]
        head.bias[blank] += torch.quantile(lead, blank_share)
