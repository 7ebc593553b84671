"""Driver of a published bundle, run in the way of its published C++ consumer.

    python -m bench.peers.drive_published --model FOLDER --mode stream|file --threads N WAV...

This is an independent implementation of the behavior of that consumer:

- It keeps all samples of the utterance. For every window of 320 ms it recomputes the log-mel of *all* samples, and uses
  the window's 32 frames. A window is run when its samples and 256 more have arrived.
- Its front end reflects the audio at the start instead of padding it with zeros, and its frames of 400 samples start at
  multiples of 160 of the padded signal.
- Batch size 1. For every frame: prediction net, joint, argmax. After a blank, the next frame runs the prediction net
  again with the same token and state. At most 10 symbols per frame.
- ONNX Runtime with the same number of threads for all three graphs, no memory arena, no memory pattern, and otherwise
  defaults (waiting threads spin, and U8 x S8 products saturate on CPUs without VNNI).

Its loops over samples and mel bands are plain C++; NumPy is faster. Its calls of ONNX Runtime do not have Python's
overhead of about 20 microseconds each.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from bench.peers.driver import Outcome, Samples, Task, parse, run
from legato.model.bundle import open_bundle
from legato.runtime.features import hann_window, mel_filters
from legato.types import MelConfig

Array = NDArray[np.float32]

_WINDOW = 32
_HOP = 160
_FRAME = 400
_FFT = 512
_WINDOW_SAMPLES = _WINDOW * _HOP
_MAX_SYMBOLS = 10


@dataclass
class State:
    """State of an utterance.

    Attributes:
        samples: all of its audio.
        windows: number of windows that were run.
        caches: the encoder's caches, in the order of its outputs.
        h, c, token: state of the prediction net, and its next input token.
        tokens: emitted tokens.
    """

    caches: list[NDArray[np.generic]]
    h: Array
    c: Array
    token: int
    samples: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    windows: int = 0
    tokens: list[int] = field(default_factory=list)


class PublishedPeer:
    """The published bundle with the interface of the drivers."""

    def __init__(self, task: Task) -> None:
        bundle = open_bundle(task.model)
        if bundle.layout != "published" or task.chunk_ms != 320:
            raise SystemExit(f"{task.model}: give a bundle in the published layout, and --chunk-ms 320.")
        self.version = f"published bundle, onnxruntime {ort.__version__}"
        self.parts: dict[str, list[float]] = {"encoder": [], "mel": []}
        options = ort.SessionOptions()
        options.intra_op_num_threads = task.threads
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        self._encoder, self._decoder, self._joint = (
            ort.InferenceSession(str(task.model / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in ("encoder", "decoder", "joint")
        )
        self._decoder_inputs = [value.name for value in self._decoder.get_inputs()]
        self._joint_inputs = [value.name for value in self._joint.get_inputs()]
        self._language = np.zeros((1, bundle.sizes.prompts), np.float32)
        self._language[0, bundle.prompt_slot(task.language)] = 1
        self._blank = bundle.sizes.vocabulary
        self._pieces = bundle.pieces
        config = MelConfig()
        self._filters = mel_filters(config).astype(np.float32)
        self._hann = hann_window(config).astype(np.float32)
        self._empty = {v.name: v for v in self._encoder.get_inputs()}

    def file(self, samples: Samples) -> Outcome:
        """See `Peer.file`. All audio arrives at once, and the log-mel is still computed for every window."""
        return self.stream(iter([samples]))

    def stream(self, pieces: Iterator[Samples]) -> Outcome:
        """See `Peer.stream`."""
        state = self._start()
        for piece in pieces:
            state.samples = np.concatenate([state.samples, piece])
            while len(state.samples) >= (state.windows + 1) * _WINDOW_SAMPLES + _FFT // 2:
                self._advance(state)
        missing = -len(state.samples) % _WINDOW_SAMPLES
        state.samples = np.concatenate([state.samples, np.zeros(missing, np.float32)])
        while state.windows * _WINDOW_SAMPLES < len(state.samples):
            self._advance(state)
        return Outcome(len(state.tokens), "".join(self._pieces[token] for token in state.tokens).replace("▁", " "))

    def _start(self) -> State:
        caches = ("pre_cache", "cache_last_channel", "cache_last_time")
        zeros: list[NDArray[np.generic]] = [np.zeros(self._empty[name].shape, np.float32) for name in caches]
        h, c = (np.zeros(value.shape, np.float32) for value in self._decoder.get_inputs()[1:])
        return State([*zeros, np.zeros(1, np.int32)], h, c, self._blank)

    def _mel(self, samples: Array) -> Array:
        """Return the log-mel of the whole utterance, as the consumer computes it: float32[128, frames]."""
        emphasized = samples.copy()
        emphasized[1:] -= np.float32(0.97) * samples[:-1]
        padded = np.pad(emphasized, _FFT // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
        spectrum = np.fft.rfft(frames * self._hann, _FFT)
        power = spectrum.real**2 + spectrum.imag**2
        logarithm: Array = np.log(power @ self._filters + np.float32(2**-24))
        return logarithm.T

    def _advance(self, state: State) -> None:
        before = time.perf_counter()
        mel = self._mel(state.samples)
        first = state.windows * _WINDOW
        window = np.ascontiguousarray(mel[:, first : first + _WINDOW])
        computed = time.perf_counter()
        encoded, counts, *state.caches = self._encoder.run(
            None,
            {
                "audio_signal": window[None],
                "audio_length": np.array([_WINDOW], np.int32),
                "language_mask": self._language,
                "pre_cache": state.caches[0],
                "cache_last_channel": state.caches[1],
                "cache_last_time": state.caches[2],
                "cache_last_channel_len": state.caches[3],
            },
        )
        self.parts["mel"].append(1000 * (computed - before))
        self.parts["encoder"].append(1000 * (time.perf_counter() - computed))
        for frame in range(int(counts[0])):
            self._search(state, encoded[:, frame : frame + 1])
        state.windows += 1

    def _search(self, state: State, frame: Array) -> None:
        for _ in range(_MAX_SYMBOLS):
            inputs = (np.array([[state.token]], np.int64), state.h, state.c)
            output, h, c = self._decoder.run(None, dict(zip(self._decoder_inputs, inputs, strict=True)))
            [logits] = self._joint.run(None, dict(zip(self._joint_inputs, (frame, output), strict=True)))
            best = int(logits.argmax())
            if best == self._blank:
                return
            state.tokens.append(best)
            state.token, state.h, state.c = best, h, c


def main() -> None:
    """Run from the command line."""
    run(parse(), PublishedPeer)


if __name__ == "__main__":
    main()
