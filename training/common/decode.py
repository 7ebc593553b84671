"""Batched greedy transducer decoding, and word error rate."""

import re

import torch
from torch import Tensor
from transformers import Nemotron3_5AsrForRNNT

TAG = re.compile(r"<[a-z]{2}-[A-Z]{2}>")


@torch.no_grad()
def greedy(model: Nemotron3_5AsrForRNNT, features: Tensor, frames: Tensor, projected: bool = False) -> list[list[int]]:
    """Return the token ids of each utterance from features [B, T, D] (after the prompt).

    ``projected``: the features have already gone through the joint's encoder projection.
    The prediction net is primed with blank, and emits at most ``max_symbols_per_step`` tokens per frame.
    """
    batch = features.shape[0]
    blank = model.config.blank_token_id
    encoded = features if projected else model.encoder_projector(features)
    layers, width = model.config.num_decoder_layers, model.config.decoder_hidden_size
    device = encoded.device
    state = (torch.zeros(layers, batch, width, device=device), torch.zeros(layers, batch, width, device=device))

    def predict(tokens: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, state = model.decoder.lstm(model.decoder.embedding(tokens[:, None]), state)
        return model.decoder.decoder_projector(output[:, 0]), state

    predicted, state = predict(torch.full((batch,), blank, device=device), state)
    tokens: list[list[int]] = [[] for _ in range(batch)]
    for frame in range(encoded.shape[1]):
        active = frame < frames
        for _ in range(model.max_symbols_per_step):
            best = model.joint(predicted, encoded[:, frame]).argmax(dim=-1)
            active = active & (best != blank)
            if not bool(active.any()):
                break
            for row, token in zip(active.nonzero()[:, 0].tolist(), best[active].tolist(), strict=True):
                tokens[row].append(token)
            advanced, (hidden, cell) = predict(best, state)
            predicted = torch.where(active[:, None], advanced, predicted)
            keep = active[None, :, None]
            state = (torch.where(keep, hidden, state[0]), torch.where(keep, cell, state[1]))
    return tokens


def split_tags(text: str) -> tuple[str, list[str]]:
    """Return the text without language tags, and the tags."""
    return " ".join(TAG.sub(" ", text).split()), TAG.findall(text)


def word_errors(reference: str, hypothesis: str) -> int:
    """Return the edit distance in words."""
    left, right = reference.split(), hypothesis.split()
    row = list(range(len(right) + 1))
    for i, word in enumerate(left, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(right, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]
