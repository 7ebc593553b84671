"""The encoder as streams use it: mel frames in, encoder frames out, with all state explicit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from legato.runtime.caches import Caches
from legato.types import Frames


@dataclass(frozen=True)
class EncoderState:
    """One stream's state of the encoder; a step takes it and returns the next.

    Attributes:
        prompt: slot of the language prompt; may be changed between two steps.
        chunk: encoder frames per chunk, right context + 1.
        done: encoder frames computed so far.
        mel: float32[m, bins], the mel frames that are still needed, the oldest first.
        accepted: mel frames accepted so far.
        ended: no more mel frames will come.
        caches: the graph's caches.
    """

    prompt: int
    chunk: int
    done: int
    mel: Frames
    accepted: int
    ended: bool
    caches: Caches

    def accept(self, mel: Frames, *, last: bool = False) -> "EncoderState":
        """Add mel frames float32[k, bins]; `last` says that the utterance ends with them."""
        joined = np.concatenate([self.mel, mel]) if len(mel) else self.mel
        return replace(self, mel=joined, accepted=self.accepted + len(mel), ended=self.ended or last)


class Encoder(Protocol):
    """What an encoder layout offers.

    Attributes:
        window_samples: the utterance must be padded with zero samples to a multiple of this; 1 for no padding.
    """

    window_samples: int

    def start(self, prompt: int, chunk: int) -> EncoderState:
        """Return the state of a new stream. Raise ChunkSizeError if the graph cannot run `chunk` frames per chunk."""
        ...

    def ready(self, state: EncoderState) -> int:
        """Return the encoder frames that can be computed now: whole chunks, or the rest once the stream has ended."""
        ...

    def step(self, states: Sequence[EncoderState], frames: int) -> list[tuple[Frames, EncoderState]]:
        """Compute `frames` encoder frames of every stream in one call.

        Args:
            states: one stream per row; each has `frames` frames ready, or has ended and has fewer left.
            frames: a whole number of chunks, unless the streams end with them.

        Returns:
            Per stream its frames after the language prompt, float32[n, width], and its next state.
        """
        ...
