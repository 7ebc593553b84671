"""The transducer loss in plain PyTorch."""

import torch
from torch import Tensor


def transducer_loss(logits: Tensor, labels: Tensor, frames: Tensor, label_lengths: Tensor, blank: int) -> Tensor:
    """Return the negative log-likelihood of each utterance [B].

    logits [B, T, U+1, V], labels [B, U], frames [B] and label_lengths [B] the valid sizes.

    Let a_u(t) be the log-probability of having written u labels on arriving at frame t. Frame t can
    be reached from any earlier frame s, where label u was written, through blanks:
    a_u(t) = log sum_{s <= t} exp(a_{u-1}(s) + label(s, u-1) - c_u(s)) + c_u(t), with c_u the sum of
    the blanks before a frame. So each u is one running log-sum over t, and only u needs a loop.
    """
    batch, steps, width, _ = logits.shape
    normalizer = logits.logsumexp(dim=-1)
    blanks = (logits[..., blank] - normalizer).double()
    index = labels[:, None, :, None].expand(-1, steps, -1, -1)
    written = (logits[:, :, :-1].gather(3, index)[..., 0] - normalizer[:, :, :-1]).double()
    before = blanks.cumsum(dim=1) - blanks
    arrivals = [before[:, :, 0]]
    for u in range(1, width):
        departures = arrivals[-1] + written[:, :, u - 1] - before[:, :, u]
        arrivals.append(torch.logcumsumexp(departures, dim=1) + before[:, :, u])
    total = torch.stack(arrivals, dim=2) + blanks
    rows = torch.arange(batch)
    return -total[rows, frames - 1, label_lengths].float()
