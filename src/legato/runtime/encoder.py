"""The encoder as streams see it: mel frames in, encoder frames out, everything else in an explicit state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from legato.errors import ChunkSizeError
from legato.model.bundle import Bundle
from legato.runtime.caches import Caches, batch_of
from legato.runtime.features import Frames
from legato.runtime.session import open_session

#: Mel frames per encoder frame.
FACTOR = 8
#: Mel frames before frame 8q that encoder frame q depends on.
LEAD = 14


@dataclass(frozen=True)
class EncoderState:
    """One stream's place in the encoder; handed to a step and handed back.

    Attributes:
        prompt: language-prompt slot; may be exchanged between two steps.
        chunk: encoder frames a chunk, right context + 1.
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
        """Add mel frames float32[k, bins]; `last` says that they are the end of the utterance."""
        joined = np.concatenate([self.mel, mel]) if len(mel) else self.mel
        return replace(self, mel=joined, accepted=self.accepted + len(mel), ended=self.ended or last)


class Encoder(Protocol):
    """What a layout must offer.

    Attributes:
        window_samples: the utterance must be padded with zero samples to a multiple of this; 1 where it need not.
    """

    window_samples: int

    def start(self, prompt: int, chunk: int) -> EncoderState:
        """State of a new stream. Raises ChunkSizeError where the graph cannot run `chunk` frames a chunk."""
        ...

    def ready(self, state: EncoderState) -> int:
        """Encoder frames that can be computed now: whole chunks, or the rest once the stream has ended."""
        ...

    def step(self, states: Sequence[EncoderState], frames: int) -> list[tuple[Frames, EncoderState]]:
        """Compute `frames` encoder frames of every stream in one call.

        Args:
            states: one stream a row; each has `frames` frames ready, or has ended and has fewer left.
            frames: a whole number of chunks, unless the streams end with them.

        Returns:
            For every stream its frames after the language prompt, float32[n, width], and its next state.
        """
        ...


def open_encoder(bundle: Bundle, threads: int, *, prepack: bool = True) -> Encoder:
    """Load the encoder of a bundle in whichever layout it has."""
    kind = NativeEncoder if bundle.layout == "native" else ReferenceEncoder
    return kind(bundle, threads, prepack=prepack)


def encoder_frames(mel_frames: int) -> int:
    """Encoder frames of an utterance of so many mel frames: three causal strides of 2, each n // 2 + 1."""
    if mel_frames == 0:
        return 0
    for _ in range(3):
        mel_frames = mel_frames // 2 + 1
    return mel_frames


class NativeEncoder:
    """Runs the native graph (see `legato.convert.graph.native`)."""

    window_samples = 1
    #: Stands for the length of an utterance that has not ended.
    _OPEN = 1 << 40

    def __init__(self, bundle: Bundle, threads: int, *, prepack: bool = True) -> None:
        self._session = open_session(bundle.path / "encoder.onnx", threads, prepack=prepack, narrow=bundle.narrow)
        self._inputs = [value.name for value in self._session.get_inputs()][5:]
        self._mel_bins = bundle.mel.mel_bins
        s = bundle.sizes
        attention = np.zeros((s.left_context, s.width), np.float32)
        convolution = np.zeros((s.conv_cache, s.width), np.float32)
        self._empty = Caches.of((attention, attention, convolution) * s.layers)
        self._chunks = {r + 1 for r in (0, 1, 3, 6, 13, *bundle.right_contexts)}

    def start(self, prompt: int, chunk: int) -> EncoderState:
        """See `Encoder.start`."""
        if chunk not in self._chunks:
            raise ChunkSizeError(
                f"This model cannot run chunks of {chunk} frames; it can run {_listing(self._chunks)} (80 ms each)."
            )
        mel = np.zeros((LEAD, self._mel_bins), np.float32)
        return EncoderState(prompt, chunk, done=0, mel=mel, accepted=0, ended=False, caches=self._empty)

    def ready(self, state: EncoderState) -> int:
        """See `Encoder.ready`."""
        if state.ended:
            return encoder_frames(state.accepted) - state.done
        computable = max(0, (len(state.mel) - (LEAD - FACTOR + 1)) // FACTOR)
        return computable // state.chunk * state.chunk

    def step(self, states: Sequence[EncoderState], frames: int) -> list[tuple[Frames, EncoderState]]:
        """See `Encoder.step`."""
        mel = np.zeros((len(states), FACTOR * frames + LEAD - FACTOR + 1, self._mel_bins), np.float32)
        for row, state in zip(mel, states, strict=True):
            part = state.mel[: len(row)]
            row[: len(part)] = part

        def column(values: list[int]) -> NDArray[np.int64]:
            return np.array(values, np.int64)

        feeds: dict[str, NDArray[np.generic]] = {
            "mel": mel,
            "start": column([state.done for state in states]),
            "mel_length": column([state.accepted if state.ended else self._OPEN for state in states]),
            "chunk": column([state.chunk for state in states]),
            "prompt": column([state.prompt for state in states]),
        }
        feeds.update(zip(self._inputs, batch_of([state.caches for state in states]), strict=True))
        encoded, *joined = self._session.run(None, feeds)
        arrays = tuple(array[frames:] for array in joined)
        results = []
        for number, state in enumerate(states):
            count = min(frames, self.ready(state)) if state.ended else frames
            after = replace(
                state,
                done=state.done + count,
                mel=state.mel[FACTOR * frames :].copy(),
                caches=Caches(arrays, number),
            )
            results.append((encoded[number, :count], after))
        return results


class ReferenceEncoder:
    """Runs a bundle in the published layout: one stream a call, windows of 320 ms, as its contract says."""

    _WINDOW = 32
    _FRAMES = 4

    def __init__(self, bundle: Bundle, threads: int, *, prepack: bool = True) -> None:
        self._session = open_session(bundle.path / "encoder.onnx", threads, prepack=prepack, narrow=bundle.narrow)
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
        """See `Encoder.step`; a call of the graph for every window of every stream."""
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


def _listing(chunks: set[int]) -> str:
    return ", ".join(str(chunk) for chunk in sorted(chunks))
