"""An encoder that tests hold."""

import threading
from collections.abc import Callable, Sequence

from legato.runtime.encoder import Encoder, EncoderState
from legato.types import Frames


class Gate:
    """An encoder whose steps wait until they are let through; notes the chunks that were in each batch."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._permits = threading.Semaphore(0)
        self._entered = threading.Semaphore(0)
        self.batches: list[list[EncoderState]] = []
        self.poisoned: Callable[[EncoderState], bool] = lambda state: False
        self.window_samples = encoder.window_samples

    def start(self, prompt: int, chunk: int) -> EncoderState:
        return self.encoder.start(prompt, chunk)

    def ready(self, state: EncoderState) -> int:
        return self.encoder.ready(state)

    def step(self, states: Sequence[EncoderState], frames: int) -> list[tuple[Frames, EncoderState]]:
        self.batches.append(list(states))
        self._entered.release()
        assert self._permits.acquire(timeout=300)
        if any(self.poisoned(state) for state in states):
            raise RuntimeError("poisoned")
        return self.encoder.step(states, frames)

    def let_one(self) -> None:
        self._permits.release()

    def open(self) -> None:
        self._permits.release(1_000_000)

    def wait_for_a_step(self) -> None:
        assert self._entered.acquire(timeout=300)

    def prompts(self) -> list[list[int]]:
        return [[state.prompt for state in batch] for batch in self.batches]
