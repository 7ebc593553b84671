"""The encoder in the native layout: any batch and any number of frames per call, keys and values cached."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from legato.chunks import FRAME_MS, RIGHT_CONTEXTS, SUBSAMPLING_FACTOR, listing
from legato.errors import ChunkSizeError
from legato.model.bundle import Bundle
from legato.runtime.caches import Caches, batch_of, extend
from legato.runtime.encoder import EncoderState
from legato.runtime.session import open_session
from legato.types import Frames

#: Mel frames before frame 8q that encoder frame q depends on.
LEAD = 14
#: Prefix of the outputs with the new frames of every cache.
NEW = "new_"

Feeds = dict[str, NDArray[np.generic]]


def encoder_frames(mel_frames: int) -> int:
    """Return the encoder frames of an utterance of `mel_frames`: three causal strides of 2, each n // 2 + 1."""
    if mel_frames == 0:
        return 0
    for _ in range(3):
        mel_frames = mel_frames // 2 + 1
    return mel_frames


class NativeEncoder:
    """Runs the native graph (see `legato.convert.graph.native`); meets the Protocol `Encoder`."""

    window_samples = 1
    #: Length of an utterance that has not ended.
    _OPEN = 1 << 40

    def __init__(self, bundle: Bundle, threads: int, *, prepack: bool = True) -> None:
        self._session = open_session(
            bundle.path / "encoder.onnx", threads, prepack=prepack, reduce_range=bundle.reduce_range
        )
        self._inputs = [value.name for value in self._session.get_inputs()][5:]
        self._outputs = [value.name for value in self._session.get_outputs()]
        # Graphs of earlier versions return every cache with the new frames instead of the new frames.
        self._joins = not self._outputs[-1].startswith(NEW)
        self._mel_bins = bundle.mel.mel_bins
        s = bundle.sizes
        self._left_context, self._width = s.left_context, s.width
        attention = np.zeros((s.left_context, s.width), np.float32)
        convolution = np.zeros((s.conv_cache, s.width), np.float32)
        self._empty = Caches.of((attention, attention, convolution) * s.layers)
        self._chunks = {r + 1 for r in (*RIGHT_CONTEXTS, *bundle.right_contexts)}

    def start(self, prompt: int, chunk: int) -> EncoderState:
        """See `Encoder.start`."""
        if chunk not in self._chunks:
            raise ChunkSizeError(
                f"This model cannot run chunks of {chunk * FRAME_MS} ms. Use "
                f"{listing(tuple(size * FRAME_MS for size in sorted(self._chunks)))} ms."
            )
        mel = np.zeros((LEAD, self._mel_bins), np.float32)
        return EncoderState(prompt, chunk, done=0, mel=mel, accepted=0, ended=False, caches=self._empty)

    def ready(self, state: EncoderState) -> int:
        """See `Encoder.ready`."""
        if state.ended:
            return encoder_frames(state.accepted) - state.done
        computable = max(0, (len(state.mel) - (LEAD - SUBSAMPLING_FACTOR + 1)) // SUBSAMPLING_FACTOR)
        return computable // state.chunk * state.chunk

    def step(self, states: Sequence[EncoderState], frames: int) -> list[tuple[Frames, EncoderState]]:
        """See `Encoder.step`."""
        length = SUBSAMPLING_FACTOR * (frames - 1) + LEAD + 1
        mel = np.zeros((len(states), length, self._mel_bins), np.float32)
        for row, state in zip(mel, states, strict=True):
            part = state.mel[: len(row)]
            row[: len(part)] = part

        def column(values: list[int]) -> NDArray[np.int64]:
            return np.array(values, np.int64)

        feeds: Feeds = {
            "mel": mel,
            "start": column([state.done for state in states]),
            "mel_length": column([state.accepted if state.ended else self._OPEN for state in states]),
            "chunk": column([state.chunk for state in states]),
            "prompt": column([state.prompt for state in states]),
        }
        encoded, caches = (self._run_joining if self._joins else self._run)(feeds, states, frames)
        results = []
        for number, state in enumerate(states):
            count = min(frames, self.ready(state)) if state.ended else frames
            after = replace(
                state,
                done=state.done + count,
                mel=state.mel[SUBSAMPLING_FACTOR * frames :].copy(),
                caches=replace(caches, row=number),
            )
            results.append((encoded[number, :count], after))
        return results

    def _run(self, feeds: Feeds, states: Sequence[EncoderState], frames: int) -> tuple[Frames, Caches]:
        """Return the encoded frames, float32[rows, frames, width], and the caches of row 0."""
        extended = extend([state.caches for state in states], frames, self._left_context // 2)
        encoded = np.empty((len(states), frames, self._width), np.float32)
        inputs = feeds | dict(zip(self._inputs, extended.whole, strict=True))
        self._session.run_in_place(inputs, dict(zip(self._outputs, (encoded, *extended.new), strict=True)))
        return encoded, extended.after

    def _run_joining(self, feeds: Feeds, states: Sequence[EncoderState], frames: int) -> tuple[Frames, Caches]:
        inputs = feeds | dict(zip(self._inputs, batch_of([state.caches for state in states]), strict=True))
        encoded, *joined = self._session.run(None, inputs)
        return encoded, Caches(tuple(array[frames:] for array in joined))
