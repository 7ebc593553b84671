"""The encoder in the published layout: one stream per call, windows of 320 ms, as its contract requires."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from legato.errors import ChunkSizeError
from legato.model.bundle import Bundle
from legato.runtime.caches import Caches
from legato.runtime.encoder import EncoderState
from legato.runtime.session import open_session
from legato.types import Frames


class PublishedEncoder:
    """Runs the published graph; meets the Protocol `Encoder`."""

    _WINDOW = 32
    _FRAMES = 4

    def __init__(self, bundle: Bundle, threads: int, *, prepack: bool = True) -> None:
        self._session = open_session(
            bundle.path / "encoder.onnx", threads, prepack=prepack, reduce_range=bundle.reduce_range
        )
        self.window_samples = self._WINDOW * bundle.mel.hop_length
        self._mel_bins, self._prompts = bundle.mel.mel_bins, bundle.sizes.prompts
        s = bundle.sizes
        pre_cache = next(v.shape[2] for v in self._session.get_inputs() if v.name == "pre_cache")
        self._width = s.width
        self._empty = Caches.of(
            (
                np.zeros((1, bundle.mel.mel_bins, pre_cache), np.float32),
                np.zeros((s.layers, 1, s.left_context, s.width), np.float32),
                np.zeros((s.layers, 1, s.width, s.conv_cache), np.float32),
                np.zeros(1, np.int32),
            )
        )

    def start(self, prompt: int, chunk: int) -> EncoderState:
        """See `Encoder.start`."""
        if chunk != self._FRAMES:
            raise ChunkSizeError(
                "A bundle in the published layout runs chunks of 320 ms only. Convert the checkpoint with "
                "'--layout native' for other chunk sizes."
            )
        mel = np.zeros((0, self._mel_bins), np.float32)
        return EncoderState(prompt, chunk, done=0, mel=mel, accepted=0, ended=False, caches=self._empty)

    def ready(self, state: EncoderState) -> int:
        """See `Encoder.ready`."""
        return len(state.mel) // self._WINDOW * self._FRAMES

    def step(self, states: Sequence[EncoderState], frames: int) -> list[tuple[Frames, EncoderState]]:
        """See `Encoder.step`; the graph is called once per window and stream."""
        return [self._windows(state, frames // self._FRAMES) for state in states]

    def _windows(self, state: EncoderState, windows: int) -> tuple[Frames, EncoderState]:
        encoded = [np.zeros((0, self._width), np.float32)]
        for _ in range(windows):
            frames, state = self._window(state)
            encoded.append(frames)
        return np.concatenate(encoded), state

    def _window(self, state: EncoderState) -> tuple[Frames, EncoderState]:
        pre_cache, channel, time, length = state.caches
        language = np.zeros((1, self._prompts), np.float32)
        language[0, state.prompt] = 1
        feeds = {
            "audio_signal": np.ascontiguousarray(state.mel[: self._WINDOW].T)[None],
            "audio_length": np.array([self._WINDOW], np.int32),
            "language_mask": language,
            "pre_cache": pre_cache,
            "cache_last_channel": channel,
            "cache_last_time": time,
            "cache_last_channel_len": length,
        }
        encoded, counts, *caches = self._session.run(None, feeds)
        count = int(counts[0])
        after = replace(
            state,
            done=state.done + count,
            mel=state.mel[self._WINDOW :].copy(),
            caches=Caches.of(caches),
        )
        return encoded[0, :count], after
