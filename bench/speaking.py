"""Live streams that a model with random weights holds if it emits tokens as often as speech does.

    python -m bench.speaking MODEL [--rate 3] [--threads 2] [--chunk-ms 320] [--seconds 20] [--streams 4,5,6]

As `legato bench`, which is right for a trained model. Prediction net and joint take a share of the time that depends on
the number of tokens, and a model with random weights emits none, or the most possible for every frame. Here both are
computed as ever, and a hash of their inputs decides whether a frame emits the best token or blank.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from legato.chunks import FRAME_MS
from legato.decode.transducer import Transducer
from legato.lab.benchmark import MOST_STREAMS, sample_audio
from legato.lab.live_load import largest, under_load
from legato.recognizer import Recognizer, load
from legato.types import Floats

_HASH = np.uint32(2654435761)  # Knuth's multiplicative hash


class Speaking:
    """A transducer that emits tokens at random, at a rate; meets the Protocol `Transducer`.

    Args:
        transducer: what computes prediction net and joint.
        rate: tokens per second on average. The number of tokens of a frame is geometrically distributed.

    Attributes:
        calls, rows: calls of the joint, and frames in them, so far.
    """

    def __init__(self, transducer: Transducer, rate: float) -> None:
        self._transducer = transducer
        self.blank = transducer.blank
        per_frame = rate * FRAME_MS / 1000
        self._share = per_frame / (1 + per_frame)
        self.calls = self.rows = 0

    def initial(self, rows: int) -> tuple[Floats, Floats]:
        """See `Transducer.initial`."""
        return self._transducer.initial(rows)

    def predict(self, tokens: NDArray[np.int64], h: Floats, c: Floats) -> tuple[Floats, Floats, Floats]:
        """See `Transducer.predict`."""
        return self._transducer.predict(tokens, h, c)

    def join(self, frames: Floats, predictions: Floats) -> Floats:
        """See `Transducer.join`."""
        self.calls += 1
        self.rows += frames.shape[0] * frames.shape[1]
        logits = self._transducer.join(frames, predictions)
        bits = _bits(frames) * np.uint32(31) + _bits(predictions)[:, None]
        emits = ((bits ^ (bits >> np.uint32(15))) * _HASH) / 2**32 < self._share
        logits[..., self.blank] = np.where(emits, -np.inf, np.finfo(np.float32).max)
        return logits


def speak(recognizer: Recognizer, rate: float) -> Speaking:
    """Make a recognizer emit tokens at a rate; its streams must be started afterwards."""
    decoder = recognizer.pipeline.decoder
    decoder.transducer = speaking = Speaking(decoder.transducer, rate)
    return speaking


def _bits(values: Floats) -> NDArray[np.uint32]:
    """Return bits that depend on some of the last axis."""
    some = np.ascontiguousarray(values[..., :8]).view(np.uint32)
    return np.asarray((some * (2 * np.arange(8, dtype=np.uint32) + 1)).sum(axis=-1, dtype=np.uint32))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rate", type=float, default=3.0, help="tokens per second")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--chunk-ms", type=int, default=320)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--streams", help="numbers to try, as 4,5,6; the default searches for the largest")
    arguments = parser.parse_args()
    recognizer = load(arguments.model, threads=arguments.threads)
    speak(recognizer, arguments.rate)
    samples = sample_audio(arguments.seconds)
    print(f"{'streams':>7} {'lag p50':>8} {'lag p95':>8} {'batch':>6}  holds")

    def holds(streams: int) -> bool:
        load = under_load(recognizer, samples, streams, arguments.chunk_ms)
        print(
            f"{streams:7} {load.lag_ms_p50:8.1f} {load.lag_ms_p95:8.1f} {load.batch:6.2f}  {load.keeps_up}", flush=True
        )
        return load.keeps_up

    if arguments.streams:
        for streams in map(int, arguments.streams.split(",")):
            holds(streams)
    else:
        largest(holds, MOST_STREAMS)


if __name__ == "__main__":
    main()
