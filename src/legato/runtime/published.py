"""The encoder in the published layout, ONNX or LiteRT: one stream per call and windows of a fixed size."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from legato.chunks import FRAME_MS, SUBSAMPLING_FACTOR
from legato.errors import ChunkSizeError
from legato.model.bundle import Bundle
from legato.model.contract import ENCODER_INPUTS, ENCODER_OUTPUTS
from legato.runtime.caches import Caches
from legato.runtime.encoder import EncoderState
from legato.runtime.graph import Graph
from legato.runtime.graphs import open_graph
from legato.types import Frames


class PublishedEncoder:
    """Runs the published graph; meets the Protocol `Encoder`."""

    def __init__(self, bundle: Bundle, threads: int, *, prepack: bool = True) -> None:
        session = open_graph(bundle, "encoder", threads, prepack=prepack)
        self._graph = Graph(session, ENCODER_INPUTS, ENCODER_OUTPUTS)
        s = bundle.sizes
        self._layout = bundle.layout
        self._window, self._frames = s.window, s.window // SUBSAMPLING_FACTOR
        self.window_samples = self._window * bundle.mel.hop_length
        self._mel_bins, self._prompts, self._width = s.mel_bins, s.prompts, s.width
        self._length = np.array([self._window], np.int32)
        self._empty = Caches.of(
            (
                np.zeros((1, s.mel_bins, s.pre_cache), np.float32),
                np.zeros((s.layers, 1, s.left_context, s.width), np.float32),
                np.zeros((s.layers, 1, s.width, s.conv_cache), np.float32),
                np.zeros(1, np.int32),
            )
        )

    def start(self, prompt: int, chunk: int) -> EncoderState:
        """See `Encoder.start`."""
        if chunk != self._frames:
            raise ChunkSizeError(
                f"This bundle in the {self._layout} layout runs chunks of {self._frames * FRAME_MS} ms only. Convert "
                "the checkpoint with '--layout native' for other chunk sizes."
            )
        mel = np.zeros((0, self._mel_bins), np.float32)
        return EncoderState(prompt, chunk, done=0, mel=mel, accepted=0, ended=False, caches=self._empty)

    def ready(self, state: EncoderState) -> int:
        """See `Encoder.ready`."""
        return len(state.mel) // self._window * self._frames

    def step(self, states: Sequence[EncoderState], frames: int) -> list[tuple[Frames, EncoderState]]:
        """See `Encoder.step`; the graph is called once per window and stream."""
        return [self._windows(state, frames // self._frames) for state in states]

    def _windows(self, state: EncoderState, windows: int) -> tuple[Frames, EncoderState]:
        encoded = [np.zeros((0, self._width), np.float32)]
        for _ in range(windows):
            frames, state = self._one(state)
            encoded.append(frames)
        return np.concatenate(encoded), state

    def _one(self, state: EncoderState) -> tuple[Frames, EncoderState]:
        """Compute one window."""
        language = np.zeros((1, self._prompts), np.float32)
        language[0, state.prompt] = 1
        mel = np.ascontiguousarray(state.mel[: self._window].T)[None]
        encoded, counts, *caches = self._graph.run(mel, self._length, language, *state.caches)
        count = min(int(counts.ravel()[0]), encoded.shape[1])
        after = replace(
            state,
            done=state.done + count,
            mel=state.mel[self._window :].copy(),
            caches=Caches.of(caches),
        )
        return encoded[0, :count], after
