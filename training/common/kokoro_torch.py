"""Kokoro-82M with PyTorch, for a GPU: the ONNX file of :mod:`training.common.kokoro` with its weights made floats."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.common.graph import Graph, load
from training.common.onnx_torch import Program

#: Lengths are a multiple of so many frames of 25 ms, so that the kernels for a length, once chosen, serve again.
FRAMES = 8


def resampler(half_width: int = 96, cutoff: float = 7650 / 24000, beta: float = 8.0) -> Tensor:
    """Return float64 [2, 1, taps]: two filters for every three samples at 24 kHz make two at 16 kHz.

    Windowed sinc: flat to 7.3 kHz, 80 dB down at 8 kHz.
    """
    time = 1.5 * np.arange(2)[:, None] - (np.arange(2 * half_width + 2) - half_width)
    window = np.i0(beta * np.sqrt(np.maximum(0, 1 - (time / half_width) ** 2))) / np.i0(beta)
    filters = 2 * cutoff * np.sinc(2 * cutoff * time) * window * (np.abs(time) <= half_width)
    return torch.from_numpy(filters[:, None])


def to_16_khz(audio: Tensor, filters: Tensor) -> Tensor:
    """Return float32 [2/3 samples] of float32 [samples]."""
    before = (filters.shape[-1] - 2) // 2
    padded = torch.nn.functional.pad(audio.double(), (before, before + 3))
    return (
        torch.nn.functional.conv1d(padded[None, None], filters, stride=3)[0]
        .T.reshape(-1)[: len(audio) * 2 // 3]
        .float()
    )


def _durations(graph: Graph) -> str:
    """Return the name of the frames of each sound: those that are summed up to say where each sound begins."""
    producers = graph.producers()
    total = next(node for node in graph.nodes if node.op == "CumSum")
    while total.op != "Cast":
        total = producers[total.inputs[0]]
    return total.outputs[0]


def _whole_blocks(frames: Tensor) -> Tensor:
    """Lengthen the silence at the end, int64 [1, sounds], up to a multiple of ``FRAMES``."""
    more = torch.zeros_like(frames)
    more[..., -1] = -frames.sum(-1) % FRAMES
    return frames + more


class KokoroTorch:
    """The synthesizer on one device; the device is waited for once in a sentence, for its length."""

    def __init__(self, model: Path, device: torch.device) -> None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        graph = load(model)
        self._durations = _durations(graph)
        self.program = Program(graph, device, host=("speed",))
        self.device = device
        self._filters = resampler().to(device)

    def speak(self, ids: list[int], style: npt.NDArray[np.float32], speed: float) -> Tensor:
        """Return float32 [samples] at 16 kHz, on the device; ``style`` is the voice [256] for this length."""
        inputs = {
            "tokens": torch.tensor([ids]).to(self.device, non_blocking=True),
            "style": torch.from_numpy(style[None]).to(self.device, non_blocking=True),
            "speed": np.array([speed], np.float32),
        }
        audio = self.program(inputs, {self._durations: _whole_blocks})[0]
        with torch.inference_mode():
            return to_16_khz(audio.reshape(-1), self._filters)
