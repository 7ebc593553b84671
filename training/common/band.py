"""The transducer loss within a band around a known alignment.

The full loss needs the joint at every frame for every number of labels written. Here only ``width``
numbers are allowed at each frame (alignment-restricted transducer, Mahadeokar et al. 2020), so its cost
does not grow with the length of the text, and a label cannot come long after its sound.
"""

import math
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

#: Number of labels that a path may lag behind the alignment; it may be one ahead.
BEHIND = 4
WIDTH = BEHIND + 2

Grid = npt.NDArray[np.float64]


def band_starts(label_frames: npt.NDArray[np.int64], frames: int) -> npt.NDArray[np.int64]:
    """Return the least number of labels written at each frame [T], from the frame of each label [U]."""
    written = np.searchsorted(label_frames, np.arange(frames), side="right")
    return np.maximum(0, written - BEHIND)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _add(a: float, b: float) -> float:
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + math.log1p(math.exp(b - a))


@numba.njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]
def _occupancies(
    blanks: Grid,
    labels: Grid,
    starts: npt.NDArray[np.int64],
    frames: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    total: Grid,
    by_blank: Grid,
    by_label: Grid,
) -> None:
    """Fill the log-likelihood [B] and the probabilities of passing each arc [B, T, S]."""
    width = blanks.shape[2]
    for row in numba.prange(blanks.shape[0]):
        steps, count = frames[row], counts[row]
        ahead = np.full((steps, width), -np.inf)
        back = np.full((steps, width), -np.inf)
        for t in range(steps):
            for s in range(width):
                u = starts[row, t] + s
                if u > count:
                    break
                value = -np.inf
                if t == 0:
                    value = 0.0 if u == 0 else -np.inf
                else:
                    before = u - starts[row, t - 1]
                    if before < width:
                        value = ahead[t - 1, before] + blanks[row, t - 1, before]
                if s:
                    value = _add(value, ahead[t, s - 1] + labels[row, t, s - 1])
                ahead[t, s] = value
        last = count - starts[row, steps - 1]
        total[row] = ahead[steps - 1, last] + blanks[row, steps - 1, last]
        if total[row] == -np.inf:  # the band has no path, so this row has no gradient
            total[row] = 0.0
            continue
        for t in range(steps - 1, -1, -1):
            for s in range(width - 1, -1, -1):
                u = starts[row, t] + s
                if u > count:
                    continue
                after = -np.inf
                if t == steps - 1:
                    after = 0.0 if u == count else -np.inf
                else:
                    lag = u - starts[row, t + 1]
                    if lag >= 0:
                        after = back[t + 1, lag]
                by_blank[row, t, s] = math.exp(ahead[t, s] + blanks[row, t, s] + after - total[row])
                value = blanks[row, t, s] + after
                if u < count and s + 1 < width:
                    by_label[row, t, s] = math.exp(ahead[t, s] + labels[row, t, s] + back[t, s + 1] - total[row])
                    value = _add(value, labels[row, t, s] + back[t, s + 1])
                back[t, s] = value


class _Likelihood(torch.autograd.Function):
    """Log-likelihoods [B] of logits [B, T, S, V]; the gradient takes one pass instead of one per operator."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, following: Tensor, starts: Tensor, frames: Tensor, counts: Tensor, blank: int
    ) -> Tensor:
        normalizer = logits.logsumexp(dim=-1)
        blanks = (logits[..., blank] - normalizer).double().cpu().numpy()
        labels = (logits.gather(3, following)[..., 0] - normalizer).double().cpu().numpy()
        total = np.zeros(len(logits))
        by_blank, by_label = np.zeros(blanks.shape), np.zeros(blanks.shape)
        bounds = (tensor.cpu().numpy() for tensor in (starts, frames, counts))
        _occupancies(blanks, labels, *bounds, total, by_blank, by_label)
        passed = (torch.from_numpy(each).float().to(logits.device) for each in (by_blank, by_label))
        ctx.save_for_backward(logits, normalizer, following, *passed)
        ctx.blank = blank
        return torch.from_numpy(total).float().to(logits.device)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        logits, normalizer, following, by_blank, by_label = ctx.saved_tensors
        gradient = (logits - normalizer[..., None]).exp_().mul_(-(by_blank + by_label)[..., None])
        gradient[..., ctx.blank] += by_blank
        gradient.scatter_add_(3, following, by_label[..., None])
        return gradient.mul_(gradients[0][:, None, None, None]), None, None, None, None, None


def band_index(starts: Tensor, counts: Tensor) -> Tensor:
    """Return the numbers of labels written in the band [B, T, WIDTH], at most those of the text."""
    return torch.minimum(starts[:, :, None] + torch.arange(WIDTH, device=starts.device), counts[:, None, None])


def band_loss(logits: Tensor, labels: Tensor, starts: Tensor, frames: Tensor, counts: Tensor, blank: int) -> Tensor:
    """Return the negative log-likelihood [B] of the paths within the band.

    logits [B, T, WIDTH, V] at the numbers of labels of :func:`band_index`, labels [B, U], starts [B, T]
    from :func:`band_starts`, frames [B] and counts [B] the valid sizes.
    """
    index = band_index(starts, counts)
    padded = torch.cat([labels, labels.new_zeros(len(labels), 1)], dim=1)
    following = padded.gather(1, index.flatten(1)).view(*index.shape, 1)
    total: Tensor = _Likelihood.apply(logits, following, starts, frames, counts, blank)
    return -total
