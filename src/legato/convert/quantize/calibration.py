"""Calibration: what recipes measure on speech before they quantize a model."""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.native import write_native_encoder
from legato.convert.graph.precision import Float32
from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.activations import Recordings
from legato.convert.quantize.clips import Clip
from legato.convert.quantize.runner import EncoderRunner, prompt_slots
from legato.errors import AudioError, ConversionError
from legato.files import Progress

logger = logging.getLogger("legato")

#: Prefix of the outputs with the largest magnitudes.
_PREFIX = "largest/"


@dataclass
class Calibration:
    """What the recipes of one model may ask about its activations. Nothing is measured before it is asked for.

    Attributes:
        open: opens the checkpoint.
        clips: the recordings; empty if no recipe needs any.
        folder: a folder for temporary files. It must not exist, and is removed after every measurement.
        progress: called as `calibrating` by recipes that take long.
    """

    open: Callable[[], Checkpoint]
    clips: Sequence[Clip]
    folder: Path
    progress: Progress = field(default=lambda *_: None)

    @cached_property
    def ranges(self) -> dict[str, NDArray[np.float32]]:
        """The largest magnitude of every input channel of every linear layer (see `input_ranges`)."""
        try:
            return input_ranges(self.open(), self.clips, self.folder)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def recordings(self) -> Iterator[Recordings]:
        """Open the recordings of the layers' inputs, which need the temporary folder until the context ends."""
        try:
            yield Recordings(self.open, self.clips, self.folder, self.progress)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


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
    languages = prompt_slots(checkpoint, clips)
    folder.mkdir(parents=True)
    precision = _Observing()
    model = write_native_encoder(checkpoint, precision)
    ir.save(model, folder / "encoder.onnx", external_data="encoder.onnx.data", alignment=1 << 16)
    del model  # it holds references to the weights
    checkpoint.release()
    runner = EncoderRunner(checkpoint.architecture, folder / "encoder.onnx")
    ranges: dict[str, NDArray[np.float32]] = {}
    for clip in clips:
        try:
            samples = clip.read()
        except AudioError as error:
            logger.warning("calibration skips %s: %s", clip.path, error)
            continue
        for results in runner.run(samples, languages[clip.language]):
            for output, largest in results.items():
                if output.startswith(_PREFIX):
                    name = output.removeprefix(_PREFIX)
                    ranges[name] = np.maximum(ranges[name], largest) if name in ranges else largest
    if not ranges:
        raise ConversionError(f"no usable audio to calibrate on: none of the {len(clips)} recordings can be read.")
    return ranges


class _Observing(Float32):
    """FP32 with additional outputs: the largest magnitude of every input channel of every linear layer."""

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        largest = graph.op("ReduceMax", graph.op("Abs", x), graph.constant([0, 1]), keepdims=0)
        graph.output(largest, f"{_PREFIX}{layer.name}", ir.DataType.FLOAT, [layer.inputs])
        return super().linear(graph, x, layer)
