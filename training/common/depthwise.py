"""Depthwise convolutions in channels-last layout, with a backward pass that is fast on a CPU.

Each is a sum of products of shifted slices. Written as autograd functions because autograd would
otherwise fill one zero tensor of the whole input for every slice.
"""

from typing import Any

import torch
from torch import Tensor


class DepthwiseTime(torch.autograd.Function):
    """Stride 1 along time: padded [B, T+K-1, C], weight [C, K] -> [B, T, C]."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, weight: Tensor) -> Tensor:
        """Return the output, and save what the backward pass needs."""
        taps = weight.shape[1]
        frames = padded.shape[1] - taps + 1
        output = padded[:, :frames] * weight[:, 0]
        for tap in range(1, taps):
            output.addcmul_(padded[:, tap : tap + frames], weight[:, tap])
        ctx.save_for_backward(padded, weight)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of input and weight."""
        (gradient,) = gradients
        padded, weight = ctx.saved_tensors
        frames = gradient.shape[1]
        to_padded = torch.zeros_like(padded)
        to_weight = torch.empty_like(weight)
        for tap in range(weight.shape[1]):
            to_padded[:, tap : tap + frames].addcmul_(gradient, weight[:, tap])
            to_weight[:, tap] = (padded[:, tap : tap + frames] * gradient).sum(dim=(0, 1))
        return to_padded, to_weight


def _taps(even: Tensor, odd: Tensor, bands: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the input bands under the three taps along frequency, given even and odd bands."""
    return even[:, :, :bands], odd[:, :, :bands], even[:, :, 1 : bands + 1]


class DepthwiseStrided(torch.autograd.Function):
    """Kernel 3x3, stride 2: padded [B, 2T+1 or 2T+2, 2F+1 or 2F+2, C] -> [B, T, F, C].

    weight is [C, 1, 3, 3] and bias [C]. Even and odd frequency bands are split first: every slice
    then is contiguous over frequency and channel, some five times faster than strided ones.
    """

    @staticmethod
    def forward(ctx: Any, padded: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the output, and save what the backward pass needs."""
        frames, bands = (padded.shape[1] - 1) // 2, (padded.shape[2] - 1) // 2
        even, odd = padded[:, :, 0::2].contiguous(), padded[:, :, 1::2].contiguous()
        tiles = weight[:, 0].permute(1, 2, 0)[:, :, None].expand(-1, -1, bands, -1).contiguous()
        output = bias.expand(padded.shape[0], frames, bands, -1).contiguous()
        for i in range(3):
            for j, source in enumerate(_taps(even, odd, bands)):
                output.addcmul_(source[:, i : i + 2 * frames - 1 : 2], tiles[i, j])
        ctx.save_for_backward(even, odd, tiles)
        ctx.padded_shape = padded.shape
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of input, weight and bias."""
        gradient = gradients[0].contiguous()
        even, odd, tiles = ctx.saved_tensors
        frames, bands = gradient.shape[1:3]
        to_even, to_odd = torch.zeros_like(even), torch.zeros_like(odd)
        to_tiles = torch.empty_like(tiles)
        pairs = list(zip(_taps(even, odd, bands), _taps(to_even, to_odd, bands), strict=True))
        for i in range(3):
            rows = slice(i, i + 2 * frames - 1, 2)
            for j, (source, target) in enumerate(pairs):
                target[:, rows].addcmul_(gradient, tiles[i, j])
                to_tiles[i, j] = (source[:, rows] * gradient).sum(dim=(0, 1))
        to_padded = gradient.new_empty(ctx.padded_shape)
        to_padded[:, :, 0::2] = to_even
        to_padded[:, :, 1::2] = to_odd
        to_weight = to_tiles.sum(dim=2).permute(2, 0, 1)[:, None]
        return to_padded, to_weight, gradient.sum(dim=(0, 1)).sum(dim=0)


def depthwise_time(padded: Tensor, weight: Tensor) -> Tensor:
    """Apply :class:`DepthwiseTime`."""
    output: Tensor = DepthwiseTime.apply(padded, weight)
    return output


def depthwise_strided(padded: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply :class:`DepthwiseStrided`."""
    output: Tensor = DepthwiseStrided.apply(padded, weight, bias)
    return output
