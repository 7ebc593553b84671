"""The prediction net with a random history."""

from collections import deque

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Nemotron3_5AsrForRNNT


class Histories:
    """Remembers the last texts, and runs the prediction net as if some of them had preceded.

    In a stream of many minutes the prediction net has read far more than one utterance. So half of
    the rows start in the state after up to four earlier texts, not in the zero state.
    """

    def __init__(self, blank: int, rng: np.random.Generator) -> None:
        self._blank = blank
        self._rng = rng
        self._recent: deque[list[int]] = deque(maxlen=300)

    def predict(self, model: Nemotron3_5AsrForRNNT, labels: Tensor, label_lengths: Tensor) -> Tensor:
        """Return the prediction net's output [B, U+1, H] for the labels [B, U], on the device of the model.

        The labels and their lengths are on the CPU.
        """
        histories = []
        for row, length in enumerate(label_lengths.tolist()):
            tokens = [self._blank]
            if self._recent and self._rng.random() < 0.5:
                for index in self._rng.integers(len(self._recent), size=self._rng.integers(1, 5)):
                    tokens.extend(self._recent[index])
            histories.append(torch.tensor(tokens))
            self._recent.append(labels[row, :length].tolist())
        decoder = model.decoder
        device = decoder.embedding.weight.device
        labels = labels.to(device)
        packed = nn.utils.rnn.pack_sequence(histories, enforce_sorted=False).to(device)
        packed = packed._replace(data=decoder.embedding(packed.data))
        outputs, state = decoder.lstm(packed)
        outputs, lengths = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
        first = outputs[torch.arange(len(lengths), device=device), lengths.to(device) - 1][:, None]
        rest = decoder.lstm(decoder.embedding(labels), state)[0] if labels.shape[1] else first[:, :0]
        projected: Tensor = decoder.decoder_projector(torch.cat([first, rest], dim=1))
        return projected
