"""The inputs of every linear layer on the recordings of a calibration, in FP32."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from legato.chunks import FRAME_MS
from legato.convert.architecture import Architecture
from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.decoder import write_decoder, write_joint
from legato.convert.graph.native import write_native_encoder
from legato.convert.graph.precision import Float32
from legato.convert.graph.sites import Linear
from legato.convert.graph.writer import GraphWriter
from legato.convert.quantize.clips import Clip
from legato.convert.quantize.runner import EncoderRunner, prompt_slots
from legato.errors import AudioError, ConversionError
from legato.files import Progress
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
    """The inputs of linear layers in FP32. Those of the encoder are recorded in files, and read one layer at a time.

    Args:
        open: opens the model.
        clips: the recordings. Those that cannot be read are skipped with a warning.
        folder: a folder for temporary files; it must not exist. The caller removes it.
        progress: called as `calibrating`, with a unit for every recording that is played and every encoder layer.

    Attributes:
        architecture: the sizes of the model.

    Raises:
        ConversionError: no recording can be read, or the model has no prompt for the language of one.
    """

    open: Callable[[], Checkpoint]
    clips: Sequence[Clip]
    folder: Path
    progress: Progress = field(default=lambda *_: None)
    architecture: Architecture = field(init=False)

    def __post_init__(self) -> None:
        checkpoint = self.open()
        try:
            self.architecture = checkpoint.architecture
            self._prompts = prompt_slots(checkpoint, self.clips)
            self._audio = self._read()
            self._views = self._choose_views()
            self.folder.mkdir(parents=True)
            observing = _Observing()
            _save(write_native_encoder(checkpoint, observing), self.folder, "encoder")
            self._names = list(observing.layers)
        finally:
            checkpoint.release()  # the graph and the checkpoint are never in memory together

    def encoder(self) -> Iterator[tuple[Linear, Floats, NDArray[np.int64]]]:
        """Yield every linear layer of the encoder, its inputs float32[n, inputs], and the recording of every row.

        A layer can be read until the next one is asked for.
        """
        owners = self._record()
        checkpoint = self.open()
        try:
            observing = _Observing()
            write_native_encoder(checkpoint, observing)
            for number, layer in enumerate(observing.layers.values()):
                file = self._file(number)
                yield layer, np.fromfile(file, np.float32).reshape(-1, layer.inputs), owners
                file.unlink()
                self._advance()
        finally:
            checkpoint.release()

    def transducer(self) -> Iterator[tuple[Linear, Floats, NDArray[np.int64]]]:
        """Yield the same for prediction net and joint, along the path of a greedy search over the encoder's frames.

        The encoder must have been recorded.
        """
        checkpoint = self.open()
        try:
            search = _Search(checkpoint, self.folder)
            for clip, frames in self._encoded:
                search.run(frames, clip)
                if search.steps >= ROWS:
                    break
            yield from search.result()
        finally:
            checkpoint.release()

    def _record(self) -> NDArray[np.int64]:
        """Write the inputs of the layers to files, keep the encoder's frames, and return the recording of every row."""
        runner = EncoderRunner(self.architecture, self.folder / "encoder.onnx")
        self._done, self._total = 0, len(self._views) + len(self._names)
        self._encoded: list[tuple[int, Floats]] = []
        owners: list[int] = []
        generator = np.random.default_rng(0)
        share = ROWS / max(ROWS, self._frames)
        for view in self._views:
            samples = view.play(self._audio[view.clip])
            encoded = []
            if len(samples):
                prompt = self._prompts[self.clips[view.clip].language]
                for results in runner.run(samples, prompt, chunk=view.chunk):
                    encoded.append(results["encoded"][0])
                    kept = generator.random(len(encoded[-1])) < share
                    owners += [view.clip] * int(kept.sum())
                    for number, name in enumerate(self._names):
                        with self._file(number).open("ab") as file:
                            results[f"{_PREFIX}{name}"][kept, 0].tofile(file)
            if encoded:
                self._encoded.append((view.clip, np.concatenate(encoded)))
            self._advance()
        del runner
        for path in self.folder.glob("encoder.onnx*"):
            path.unlink()
        if not owners:
            raise ConversionError("no usable audio to calibrate on: the recordings are too short.")
        return np.array(owners)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.inputs"

    def _advance(self) -> None:
        self._done += 1
        self.progress("calibrating", self._done, self._total)

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


class _Observing(Float32):
    """FP32 with additional outputs: the input of every linear layer."""

    def __init__(self) -> None:
        self.layers: dict[str, Linear] = {}

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
        observing = _Observing()
        _save(write_decoder(checkpoint, observing, "batch", linear=True), folder, "decoder")
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

    def result(self) -> Iterator[tuple[Linear, Floats, NDArray[np.int64]]]:
        """See `Recordings.transducer`."""
        for name, layer in self._layers.items():
            yield layer, np.concatenate(self._rows[name]), np.array(self._clips[name])

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
