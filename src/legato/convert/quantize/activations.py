"""The inputs of every linear layer on the recordings of a calibration, in FP32."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.chunks import FRAME_MS
from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.decoder import write_decoder, write_joint
from legato.convert.graph.native import write_native_encoder
from legato.convert.graph.precision import Float32
from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.clips import Clip
from legato.convert.quantize.runner import EncoderRunner, prompt_slots
from legato.errors import AudioError, ConversionError
from legato.runtime.session import Session, open_session

logger = logging.getLogger("legato")

Floats = NDArray[np.float32]

#: Prefix of the outputs with inputs of linear layers.
_PREFIX = "input/"
#: Encoder frames that are recorded: enough for the 4096 inputs of a wide layer, if the rounding is damped.
ROWS = 3072
#: Views of every recording at most.
_VIEWS = 20
#: Seconds of one recording that are used.
_SECONDS = 30
#: Bytes of inputs that one run over the recordings keeps in memory.
_BYTES = 1_500_000_000
_RATE = 16000
#: What the views of a recording differ in. The numbers of values have no common divisor with each other's order.
_SPEEDS = (1.0, 0.9, 1.1, 0.95, 1.05)
_GAINS = (1.0, 0.25, 0.5, 2.0, 0.1)
_CHUNKS = (4, 1, 14, 2, 7)


@dataclass(frozen=True)
class View:
    """One way to play a recording: a few recordings then contain as many different frames as many recordings.

    Attributes:
        clip: index of the recording.
        number: 0 is the recording itself. Others differ in position within the frame, speed, loudness, and chunk size.
    """

    clip: int
    number: int

    @property
    def chunk(self) -> int:
        """Chunk size in encoder frames."""
        return _CHUNKS[(self.number + self.clip) % len(_CHUNKS)] if self.number else _CHUNKS[0]

    def play(self, samples: Floats) -> Floats:
        """Return the audio, float32 at 16 kHz, for the recording."""
        if not self.number:
            return samples
        speed, gain = _SPEEDS[self.number % len(_SPEEDS)], _GAINS[(self.number + self.clip) % len(_GAINS)]
        samples = samples[5 * _RATE // 1000 * self.number :]
        places = np.arange(0, max(len(samples) - 1, 1), speed)
        played = np.interp(places, np.arange(len(samples)), samples) if len(samples) else samples
        return np.asarray(np.clip(played * gain, -1, 1), np.float32)


@dataclass
class Recordings:
    """The inputs of linear layers in FP32.

    Args:
        checkpoint: the model, which must stay open.
        clips: the recordings. Those that cannot be read are skipped with a warning.
        folder: the folder for the FP32 graphs; it must not exist. The caller removes it.

    Attributes:
        layers: the linear layers of the encoder by the name of their weight, in the order of the graph.

    Raises:
        ConversionError: no recording can be read, or the model has no prompt for the language of one.
    """

    checkpoint: Checkpoint
    clips: Sequence[Clip]
    folder: Path
    layers: dict[str, Linear] = field(init=False)

    def __post_init__(self) -> None:
        self._prompts = prompt_slots(self.checkpoint, self.clips)
        self._audio = self._read()
        self._views = self._choose_views()
        self.folder.mkdir(parents=True)
        observing = _Observing()
        _save(write_native_encoder(self.checkpoint, observing), self.folder, "encoder")
        self.layers = observing.layers
        self._runner = EncoderRunner(self.checkpoint, self.folder / "encoder.onnx")

    def encoder(self) -> Iterator[tuple[list[Linear], dict[str, Floats], NDArray[np.int64]]]:
        """Yield the inputs of the encoder's linear layers, a few conformer layers at a time.

        Yields:
            The linear layers; by name, their inputs float32[n, inputs]; the index of the recording of every row.
        """
        for layers in self._parts():
            rows: dict[str, list[Floats]] = {layer.name: [] for layer in layers}
            clips: list[NDArray[np.int64]] = []
            generator = np.random.default_rng(0)  # the same rows in every part
            share = ROWS / max(ROWS, self._frames)
            for view, samples, prompt in self._played():
                outputs = [f"{_PREFIX}{name}" for name in rows]
                for results in self._runner.run(samples, prompt, chunk=view.chunk, outputs=outputs):
                    kept = generator.random(len(results[outputs[0]])) < share
                    clips.append(np.full(int(kept.sum()), view.clip))
                    for name, output in zip(rows, outputs, strict=True):
                        rows[name].append(results[output][kept, 0])
            yield layers, {name: np.concatenate(rows.pop(name)) for name in list(rows)}, np.concatenate(clips)

    def transducer(self) -> tuple[list[Linear], dict[str, Floats], dict[str, NDArray[np.int64]]]:
        """Return the inputs of the linear layers of prediction net and joint along the path of a greedy search.

        Returns:
            The linear layers; by name, their inputs float32[n, inputs], and the index of the recording of every row.
        """
        search = _Search(self.checkpoint, self.folder)
        for view, samples, prompt in self._played():
            results = self._runner.run(samples, prompt, chunk=view.chunk, outputs=["encoded"])
            search.run(np.concatenate([result["encoded"][0] for result in results]), view.clip)
            if search.steps >= ROWS:
                break
        return search.result()

    def _read(self) -> dict[int, Floats]:
        """Read recordings in a random order until they have enough frames."""
        audio: dict[int, Floats] = {}
        seconds = 0.0
        for number in np.random.default_rng(0).permutation(len(self.clips)):
            clip = self.clips[number]
            try:
                samples = clip.read()[: _SECONDS * _RATE]
            except AudioError as error:
                logger.warning("calibration skips %s: %s", clip.path, error)
                continue
            audio[int(number)] = samples
            seconds += len(samples) / _RATE
            if seconds * 1000 / FRAME_MS >= ROWS:
                break
        if not seconds:
            raise ConversionError(
                f"no usable audio to calibrate on: none of the {len(self.clips)} recordings can be read."
            )
        self._frames = round(seconds * 1000 / FRAME_MS)
        return audio

    def _choose_views(self) -> list[View]:
        views = min(_VIEWS, -(-ROWS // self._frames))
        self._frames *= views
        return [View(clip, number) for number in range(views) for clip in self._audio]

    def _played(self) -> Iterator[tuple[View, Floats, int]]:
        for view in self._views:
            samples = view.play(self._audio[view.clip])
            if len(samples):
                yield view, samples, self._prompts[self.clips[view.clip].language]

    def _parts(self) -> Iterator[list[Linear]]:
        """Yield the linear layers in groups whose inputs fit into memory; conformer layers are not divided."""
        part: list[Linear] = []
        for layer in self.layers.values():
            size = 4 * ROWS * sum(other.inputs for other in [*part, layer])
            if part and size > _BYTES and part[-1].site.layer != layer.site.layer:
                yield part
                part = []
            part.append(layer)
        yield part


class _Observing(Float32):
    """FP32 with additional outputs: the input of every linear layer."""

    def __init__(self, *, lstm: bool = False) -> None:
        self.layers: dict[str, Linear] = {}
        if lstm:
            self.name = "int8"  # the prediction net's LSTM then consists of linear layers

    def linear(self, graph: GraphWriter, x: ir.Value, layer: Linear) -> ir.Value:
        """See `Precision.linear`."""
        self.layers[layer.name] = layer
        copy = graph.op("Identity", x)  # the value may be an input or output of the graph
        graph.output(copy, f"{_PREFIX}{layer.name}", ir.DataType.FLOAT, [None, None, layer.inputs])
        return super().linear(graph, x, layer)


class _Search:
    """A greedy search that records the inputs of the linear layers."""

    def __init__(self, checkpoint: Checkpoint, folder: Path) -> None:
        self._architecture = checkpoint.architecture
        observing = _Observing(lstm=True)
        _save(write_decoder(checkpoint, observing, "batch"), folder, "decoder")
        _save(write_joint(checkpoint, observing, "batch", "frames"), folder, "joint")
        self._layers = observing.layers
        self._decoder, self._joint = (open_session(folder / f"{name}.onnx", 1) for name in ("decoder", "joint"))
        self._rows: dict[str, list[Floats]] = {name: [] for name in self._layers}
        self._clips: dict[str, list[int]] = {name: [] for name in self._layers}
        self.steps = 0

    def run(self, frames: Floats, clip: int) -> None:
        """Search frames float32[T, width]."""
        a = self._architecture
        blank = a.vocabulary
        h = c = np.zeros((a.prediction_layers, 1, a.prediction_hidden), np.float32)
        prediction, h, c = self._predict(blank, h, c, clip)
        for frame in frames:
            for _ in range(a.max_symbols):
                feeds = {"encoder_output": frame[None, None], "decoder_output": prediction}
                results = self._observe(self._joint, feeds, clip)
                self.steps += 1
                token = int(results["logits"].argmax())
                if token == blank:
                    break
                prediction, h, c = self._predict(token, h, c, clip)
            if self.steps >= ROWS:
                return

    def result(self) -> tuple[list[Linear], dict[str, Floats], dict[str, NDArray[np.int64]]]:
        """See `Recordings.transducer`."""
        rows = {name: np.concatenate(found) for name, found in self._rows.items()}
        return list(self._layers.values()), rows, {name: np.array(found) for name, found in self._clips.items()}

    def _predict(self, token: int, h: Floats, c: Floats, clip: int) -> tuple[Floats, Floats, Floats]:
        results = self._observe(self._decoder, {"token": np.array([[token]]), "h": h, "c": c}, clip)
        return results["decoder_output"], results["h_out"], results["c_out"]

    def _observe(self, session: Session, feeds: dict[str, NDArray[np.generic]], clip: int) -> dict[str, Floats]:
        names = [value.name for value in session.get_outputs()]
        results = dict(zip(names, session.run(None, feeds), strict=True))
        for name in names:
            if name.startswith(_PREFIX):
                layer = name.removeprefix(_PREFIX)
                self._rows[layer].append(results[name].reshape(1, -1))
                self._clips[layer].append(clip)
        return results


def _save(model: ir.Model, folder: Path, name: str) -> None:
    ir.save(model, folder / f"{name}.onnx", external_data=f"{name}.onnx.data", alignment=1 << 16)
