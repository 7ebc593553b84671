"""Calibration: how large the inputs of every linear layer get on speech."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.audio.manifest import ManifestError, excerpt, read_entries
from legato.audio.source import SAMPLE_RATE, read_audio
from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.native import write_native_encoder
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.precision import Float32, ReadMatrix
from legato.errors import AudioError, ConversionError
from legato.framing import SUBSAMPLING_FACTOR
from legato.model.languages import AUTO
from legato.runtime.features import LogMel, MelState
from legato.runtime.native import LEAD, encoder_frames
from legato.runtime.session import default_threads, open_session

logger = logging.getLogger("legato")

#: Frames that one call computes: a whole number of chunks.
_FRAMES = 56
_CHUNK = 4
_PREFIX = "largest/"


@dataclass(frozen=True)
class Clip:
    """One recording to calibrate on.

    Attributes:
        path: the audio file.
        language: locale or language code, `auto` where the manifest names none.
        offset, duration: the part of the file, in seconds; the whole file without an offset.
    """

    path: Path
    language: str
    offset: float | None = None
    duration: float | None = None

    def read(self) -> NDArray[np.float32]:
        """Read the audio: float32[n] at 16 kHz.

        Raises:
            AudioError: the file is not usable, or ends before `offset`.
        """
        return excerpt(read_audio(self.path), SAMPLE_RATE, self.offset, self.duration, self.path)


def sample_clips() -> list[Clip]:
    """The recordings that Legato ships."""
    folder = Path(str(resources.files("legato") / "assets" / "samples"))
    return [Clip(path, AUTO) for path in sorted(folder.glob("*.flac"))]


def read_manifest(manifest: Path) -> list[Clip]:
    """Read the recordings of a manifest (see `legato.audio.manifest`), of which every line is needed.

    Raises:
        ConversionError: names the file or the line, and what is wrong with it.
    """
    try:
        entries = read_entries(manifest)
    except ManifestError as error:
        raise ConversionError(str(error)) from None
    return [Clip(entry.audio, entry.language or AUTO, entry.offset, entry.duration) for entry in entries]


def input_ranges(checkpoint: Checkpoint, clips: Sequence[Clip], folder: Path) -> dict[str, NDArray[np.float32]]:
    """Run the encoder in FP32 and note the largest magnitude of every input channel of every linear layer.

    Memory does not grow with the audio: every call returns maxima only.

    Args:
        checkpoint: the model, opened for this: it is released before the audio runs, to make room for the graph.
        clips: recordings; those that cannot be read are left out with a warning.
        folder: a new folder for the FP32 graph.

    Returns:
        Weight name -> float32[inputs].

    Raises:
        ConversionError: no recording could be used, or the model does not know the language of one.
    """
    languages = _prompts(checkpoint, clips)
    folder.mkdir(parents=True)
    precision = _Observing()
    model = write_native_encoder(checkpoint, precision)
    ir.save(model, folder / "encoder.onnx", external_data="encoder.onnx.data", alignment=1 << 16)
    del model  # it still refers to the weights
    checkpoint.release()
    runner = _Runner(checkpoint, folder / "encoder.onnx")
    ranges: dict[str, NDArray[np.float32]] = {}
    for clip in clips:
        try:
            samples = clip.read()
        except AudioError as error:
            logger.warning("calibration without %s: %s", clip.path, error)
            continue
        for found in runner.run(samples, languages[clip.language]):
            for name, largest in found.items():
                ranges[name] = np.maximum(ranges[name], largest) if name in ranges else largest
    if not ranges:
        raise ConversionError(f"no usable audio to calibrate on: none of {len(clips)} recordings can be read.")
    return ranges


def _prompts(checkpoint: Checkpoint, clips: Sequence[Clip]) -> dict[str, int]:
    """Prompt slot of every language among the clips."""
    known = checkpoint.prompt_dictionary
    slots = {AUTO: min(known.values())} | known
    for clip in clips:
        if clip.language not in slots:
            raise ConversionError(f"{clip.path}: the model has no language {clip.language!r} to calibrate with.")
    return slots


class _Observing(Float32):
    """FP32, with the largest magnitude of every linear layer's input channels as an output of the graph."""

    def linear(
        self, graph: GraphWriter, x: ir.Value, name: str, inputs: int, outputs: int, read: ReadMatrix
    ) -> ir.Value:
        """See `Precision.linear`."""
        largest = graph.op("ReduceMax", graph.op("Abs", x), graph.constant([0, 1]), keepdims=0)
        graph.output(largest, f"{_PREFIX}{name}", ir.DataType.FLOAT, [inputs])
        return super().linear(graph, x, name, inputs, outputs, read)


class _Runner:
    """Runs the observing graph over one recording after another."""

    def __init__(self, checkpoint: Checkpoint, graph: Path) -> None:
        self._architecture = checkpoint.architecture
        self._session = open_session(graph, default_threads(), prepack=False)
        self._names = [value.name for value in self._session.get_outputs()]

    def run(self, samples: NDArray[np.float32], prompt: int) -> Iterator[dict[str, NDArray[np.float32]]]:
        """Give the maxima of one call after another."""
        a = self._architecture
        mel, _ = LogMel(a.mel).accept(samples, MelState(), last=True)
        frames = encoder_frames(len(mel))
        calls = -(-frames // _FRAMES)
        length = LEAD + SUBSAMPLING_FACTOR * (_FRAMES * calls + 1)
        padded = np.zeros((length, a.mel.mel_bins), np.float32)
        padded[LEAD : LEAD + len(mel)] = mel
        caches = self._empty_caches()
        for start in range(0, frames, _FRAMES):
            # Frames behind the end of the audio would be counted too, so the last call has no more than there are.
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
