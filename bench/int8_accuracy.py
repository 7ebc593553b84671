"""Error and time of each INT8 recipe on a checkpoint with planted outliers.

    python bench/int8_accuracy.py CHECKPOINT --audio CLIP... --layers 8 --work FOLDER

Trained models have outlier channels, random weights do not, so they are planted: a few channels after every LayerNorm
that feeds a linear layer become 15 to 50 times larger, and a few inner channels of every feed-forward module grow until
the largest value is 20 to 54 times the root mean square. The weights that read such a channel shrink by the square root
of its factor, so that an outlier has more weight than other channels without dominating them.

Every recipe is then compared with FP32 on the same audio: root mean square of the difference of the encoder's frames,
relative to that of the frames, for single streams, for the same streams in a batch, and between the two. Times are CPU
times of one thread for one chunk of 320 ms, measured alternately so that other load affects all recipes alike.
"""

import argparse
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from legato.audio import read_audio
from legato.convert.bundle_writer import write_bundle
from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.precision import Float32, Precision
from legato.convert.open import open_checkpoint
from legato.convert.quantize import RECIPES
from legato.convert.quantize.calibration import Calibration
from legato.convert.quantize.clips import Clip, sample_clips
from legato.model.bundle import open_bundle
from legato.recognizer import Recognizer, load_bundle
from legato.runtime.encoder import EncoderState
from legato.runtime.features import MelState

Array = NDArray[np.float32]

CHUNK_MS = 320
CHUNK = CHUNK_MS // 80
#: LayerNorm -> the linear layers that read its output.
_NORMS = {
    "norm_feed_forward1": ("feed_forward1.linear1",),
    "norm_self_att": ("self_attn.linear_q", "self_attn.linear_k", "self_attn.linear_v"),
    "norm_conv": ("conv.pointwise_conv1",),
    "norm_feed_forward2": ("feed_forward2.linear1",),
}


def with_outliers(checkpoint: Checkpoint, layers: int, *, channels: int, seed: int) -> Checkpoint:
    """Return the first `layers` layers of a checkpoint, with outlier channels."""
    generator = np.random.default_rng(seed)
    a = checkpoint.architecture
    weights = dict(checkpoint.weights)

    def change(name: str, factors: Array, axis: int) -> None:
        read = weights[name]

        def changed() -> Array:
            weight = read()
            shape = [1] * weight.ndim
            shape[axis] = -1
            return weight * factors.reshape(shape)

        weights[name] = changed

    def draw(width: int, count: int, low: float, high: float) -> Array:
        factors = np.ones(width, np.float32)
        factors[generator.choice(width, count, replace=False)] = generator.uniform(low, high, count)
        return factors

    for layer in range(layers):
        prefix = f"encoder.layers.{layer}."
        for norm, readers in _NORMS.items():
            factors = draw(a.width, channels, 15, 50)
            change(f"{prefix}{norm}.weight", factors, 0)
            change(f"{prefix}{norm}.bias", factors, 0)
            for reader in readers:
                change(f"{prefix}{reader}.weight", factors**-0.5, 1)
        for module in ("feed_forward1", "feed_forward2"):
            factors = draw(a.feed_forward, channels, 4, 12)
            change(f"{prefix}{module}.linear1.weight", factors, 0)
            change(f"{prefix}{module}.linear2.weight", factors**-0.5, 1)
    return replace(checkpoint, architecture=replace(a, layers=layers), weights=weights)


def started(recognizer: Recognizer, samples: Array) -> EncoderState:
    """Return the state of a stream that has accepted all its audio."""
    mel, _ = recognizer.pipeline.front_end.accept(samples, MelState())
    return recognizer.start(chunk_ms=CHUNK_MS).audio.encoder.accept(mel)


def encoded(recognizer: Recognizer, streams: Sequence[Array], chunks: int) -> Array:
    """Return the frames of streams that are encoded as one batch: float32[streams, 4 * chunks, width]."""
    states = [started(recognizer, samples) for samples in streams]
    collected = []
    for _ in range(chunks):
        results = recognizer.pipeline.encoder.step(states, CHUNK)
        states = [state for _, state in results]
        collected.append(np.stack([frames for frames, _ in results]))
    return np.concatenate(collected, axis=1)


def relative(got: Array, expected: Array) -> float:
    """Return the root mean square of the difference, relative to that of the expected values."""
    return float(np.sqrt(np.mean((got - expected) ** 2) / np.mean(expected**2)))


def bundle(checkpoint: Checkpoint, precision: Precision, folder: Path) -> Path:
    """Write a bundle, and replace an earlier one."""
    shutil.rmtree(folder, ignore_errors=True)
    write_bundle(checkpoint, folder, precision, "native", name=folder.name, progress=lambda *_: None)
    return folder


def opened(folder: Path) -> Recognizer:
    """Load a bundle on one thread."""
    return load_bundle(open_bundle(folder), threads=1)


def stream_set(paths: Sequence[Path], count: int, samples: int) -> list[Array]:
    """Return streams that differ in words and loudness: all clips in sequence, from different starting points."""
    audio = np.concatenate([read_audio(path) for path in paths])
    gains = np.geomspace(0.1, 2, count)[np.random.default_rng(1).permutation(count)]
    starts = np.linspace(0, len(audio), count, endpoint=False).astype(int)
    rows = (np.take(audio, np.arange(start, start + samples), mode="wrap") for start in starts)
    return [np.clip(row * gain, -1, 1).astype(np.float32) for row, gain in zip(rows, gains, strict=True)]


def measure_times(recognizers: dict[str, Recognizer], samples: Array, rounds: int, rows: int) -> dict[str, float]:
    """Return the median CPU milliseconds of one step of `rows` streams, for every recipe."""
    states = {name: [started(recognizer, samples)] * rows for name, recognizer in recognizers.items()}
    times: dict[str, list[float]] = {name: [] for name in recognizers}
    for _ in range(rounds):
        for name, recognizer in recognizers.items():
            begin = time.process_time()
            recognizer.pipeline.encoder.step(states[name], CHUNK)
            times[name].append(time.process_time() - begin)
    return {name: float(np.median(values[1:])) * 1000 for name, values in times.items()}


def main(say: Callable[[str], None] = print) -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a .nemo archive or a transformers folder")
    parser.add_argument("--audio", type=Path, nargs="+", required=True, help="speech to measure on")
    parser.add_argument("--calibration", type=Path, nargs="+", help="speech to calibrate on (default: the samples)")
    parser.add_argument("--work", type=Path, required=True, help="folder for the bundles")
    parser.add_argument("--layers", type=int, default=8, help="layers to keep")
    parser.add_argument("--channels", type=int, default=6, help="outlier channels per layer; 0 plants none")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--streams", type=int, default=16, help="streams in a batch")
    parser.add_argument("--alone", type=int, default=4, help="number of them that are also measured alone")
    parser.add_argument("--chunks", type=int, default=20, help="chunks of 320 ms")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of timing; 0 for none")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()

    def checkpoint_with_outliers() -> Checkpoint:
        opened_now = open_checkpoint(arguments.checkpoint)
        return with_outliers(opened_now, arguments.layers, channels=arguments.channels, seed=arguments.seed)

    checkpoint = checkpoint_with_outliers()
    clips = [Clip(path, "auto") for path in arguments.calibration] if arguments.calibration else sample_clips()
    shutil.rmtree(arguments.work / "calibration", ignore_errors=True)
    calibration = Calibration(checkpoint_with_outliers, clips, arguments.work / "calibration")
    streams = stream_set(arguments.audio, arguments.streams, 5120 * (arguments.chunks + 1))

    reference = opened(bundle(checkpoint, Float32(), arguments.work / "fp32"))
    expected = encoded(reference, streams, arguments.chunks)
    recognizers = {"fp32": reference}
    say(f"{arguments.layers} layers, {arguments.channels} outlier channels; relative error of encoder frames, %")
    say(f"{'recipe':18} {'alone':>8} {f'batch {arguments.streams}':>8} {'between':>8}")
    for name in arguments.recipes:
        precision = RECIPES[name].make(calibration)
        recognizer = opened(bundle(checkpoint, precision, arguments.work / name))
        alone = np.concatenate([encoded(recognizer, [row], arguments.chunks) for row in streams[: arguments.alone]])
        batch = encoded(recognizer, streams, arguments.chunks)
        errors = (
            relative(alone, expected[: arguments.alone]),
            relative(batch, expected),
            relative(batch[: arguments.alone], alone),
        )
        say(f"{name:18} " + " ".join(f"{error * 100:8.3f}" for error in errors))
        recognizers[name] = recognizer
    if not arguments.rounds:
        return
    say(f"\nCPU ms per chunk of {CHUNK_MS} ms, one thread, and its ratio to the first recipe")
    for rows in (1, arguments.streams):
        times = measure_times(recognizers, streams[0], arguments.rounds, rows)
        base = times[arguments.recipes[0]]
        say(f"{rows} stream{'s' * (rows > 1)}: " + ", ".join(f"{n} {t:.1f} ({t / base:.2f})" for n, t in times.items()))


if __name__ == "__main__":
    main()
