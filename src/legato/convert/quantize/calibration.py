"""Calibration: the largest inputs of every linear layer on speech."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.chunks import SUBSAMPLING_FACTOR
from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.native import write_native_encoder
from legato.convert.graph.precision import Float32
from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.clips import Clip
from legato.errors import AudioError, ConversionError
from legato.model.languages import AUTO
from legato.runtime.cores import default_threads
from legato.runtime.features import LogMel, MelState
from legato.runtime.native import LEAD, encoder_frames
from legato.runtime.session import open_session

logger = logging.getLogger("legato")

#: Encoder frames of one call, a whole number of chunks, and of one chunk.
_FRAMES = 56
_CHUNK = 4
#: Prefix of the outputs with the largest magnitudes.
_PREFIX = "largest/"


def input_ranges(checkpoint: Checkpoint, clips: Sequence[Clip], folder: Path) -> dict[str, NDArray[np.float32]]:
    """Run the encoder in FP32 and return the largest magnitude of every input channel of every linear layer.

    Memory use does not grow with the audio, because every call returns maxima only.

    Args:
        checkpoint: the model. It is released before the audio is processed, to free memory for the graph.
        clips: the recordings. Those that cannot be read are skipped with a warning.
        folder: the folder for the FP32 graph; it must not exist. The caller removes it.

    Returns:
        Name of the weight -> float32[inputs].

    Raises:
        ConversionError: no recording can be read, or the model has no prompt for the language of one.
    """
    languages = _prompts(checkpoint, clips)
    folder.mkdir(parents=True)
    precision = _Observing()
    model = write_native_encoder(checkpoint, precision)
    ir.save(model, folder / "encoder.onnx", external_data="encoder.onnx.data", alignment=1 << 16)
    del model  # it holds references to the weights
    checkpoint.release()
    runner = _Runner(checkpoint, folder / "encoder.onnx")
    ranges: dict[str, NDArray[np.float32]] = {}
    for clip in clips:
        try:
            samples = clip.read()
        except AudioError as error:
            logger.warning("calibration skips %s: %s", clip.path, error)
            continue
        for found in runner.run(samples, languages[clip.language]):
            for name, largest in found.items():
                ranges[name] = np.maximum(ranges[name], largest) if name in ranges else largest
    if not ranges:
        raise ConversionError(f"no usable audio to calibrate on: none of the {len(clips)} recordings can be read.")
    return ranges


def _prompts(checkpoint: Checkpoint, clips: Sequence[Clip]) -> dict[str, int]:
    """Return the prompt slot of every language that a clip may have, and check the languages of the clips."""
    known = checkpoint.prompt_dictionary
    slots = {AUTO: min(known.values())} | known
    for clip in clips:
        if clip.language not in slots:
            raise ConversionError(
                f"{clip.path}: the model has no language {clip.language!r}. Correct its lang in the manifest."
            )
    return slots


class _Observing(Float32):
    """FP32 with additional outputs: the largest magnitude of every input channel of every linear layer."""

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        largest = graph.op("ReduceMax", graph.op("Abs", x), graph.constant([0, 1]), keepdims=0)
        graph.output(largest, f"{_PREFIX}{layer.name}", ir.DataType.FLOAT, [layer.inputs])
        return super().linear(graph, x, layer)


class _Runner:
    """Runs the graph with the additional outputs on recordings."""

    def __init__(self, checkpoint: Checkpoint, graph: Path) -> None:
        self._architecture = checkpoint.architecture
        self._session = open_session(graph, default_threads(), prepack=False)
        self._names = [value.name for value in self._session.get_outputs()]

    def run(self, samples: NDArray[np.float32], prompt: int) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Yield the maxima of every call: name of the weight -> float32[inputs]."""
        a = self._architecture
        mel, _ = LogMel(a.mel).accept(samples, MelState(), last=True)
        frames = encoder_frames(len(mel))
        calls = -(-frames // _FRAMES)
        length = LEAD + SUBSAMPLING_FACTOR * (_FRAMES * calls + 1)
        padded = np.zeros((length, a.mel.mel_bins), np.float32)
        padded[LEAD : LEAD + len(mel)] = mel
        caches = self._empty_caches()
        for start in range(0, frames, _FRAMES):
            # Frames after the end of the audio would be included in the maxima, so the last call is shorter.
            count = min(_FRAMES, frames - start)
            first = SUBSAMPLING_FACTOR * start
            feeds = caches | {
                "mel": padded[None, first : first + SUBSAMPLING_FACTOR * count + LEAD - SUBSAMPLING_FACTOR + 1],
                "start": np.array([start]),
                "mel_length": np.array([len(mel)]),
                "chunk": np.array([_CHUNK]),
                "prompt": np.array([prompt]),
            }
            results = dict(zip(self._names, self._session.run(None, feeds), strict=True))
            caches = {name: results[f"joined_{name}"][-len(cache) :] for name, cache in caches.items()}
            yield {n.removeprefix(_PREFIX): value for n, value in results.items() if n.startswith(_PREFIX)}

    def _empty_caches(self) -> dict[str, NDArray[Any]]:
        a = self._architecture
        attention = np.zeros((a.left_context, 1, a.width), np.float32)
        convolution = np.zeros((a.conv_cache, 1, a.width), np.float32)
        caches: dict[str, NDArray[Any]] = {}
        for layer in range(a.layers):
            caches |= {f"key_cache_{layer}": attention, f"value_cache_{layer}": attention}
            caches[f"conv_cache_{layer}"] = convolution
        return caches
