"""Runs a bundle that was just written on a spoken sentence."""

from dataclasses import asdict, dataclass

import numpy as np

from legato.audio.sample import read_sample
from legato.decode.greedy import Emission, greedy_search, start_search
from legato.errors import ConversionError
from legato.model.bundle import Bundle
from legato.recognizer import load_bundle
from legato.runtime.cores import default_threads
from legato.types import Frames, Samples

_CHUNK_MS = 320
_REMEDY = "Check the weights of the checkpoint, or choose another precision or recipe."


@dataclass(frozen=True)
class Difference:
    """The difference between a bundle and the same model in FP32 on the same audio.

    Attributes:
        encoder: root mean square of the difference of the encoder frames, divided by that of the FP32 frames.
        same_tokens: share of the tokens that are equal and on the same frame (intersection over union), from 0 to 1; 1
            if neither model emitted any.
        tokens: number of tokens that the FP32 model emitted.
        seconds: length of the audio in seconds.
    """

    encoder: float
    same_tokens: float
    tokens: int
    seconds: float

    def figures(self) -> dict[str, float]:
        """Return the values by name."""
        return asdict(self)

    def describe(self) -> str:
        """Return the difference as one line of text."""
        return (
            f"against FP32 on {self.seconds:.1f} s of speech: encoder frames differ by {self.encoder:.2%}, "
            f"{self.same_tokens:.0%} of {self.tokens} tokens are the same"
        )


def check_runs(bundle: Bundle) -> None:
    """Run every graph once.

    Raises:
        ConversionError: a graph returns NaN or infinite numbers.
    """
    _run(bundle, read_sample())


def compare(reference: Bundle, bundle: Bundle) -> Difference:
    """Run two bundles one after the other, so that only one is in memory, and return their difference.

    Raises:
        ConversionError: a graph returns NaN or infinite numbers.
    """
    samples = read_sample()
    expected_frames, expected = _run(reference, samples)
    # Block-wise weights are 45 times slower without prepacking, and the prepacked copy of INT8 weights is small.
    frames, emissions = _run(bundle, samples, prepack=bundle.precision == "int8")
    difference = float(np.sqrt(np.mean((frames - expected_frames) ** 2) / np.mean(expected_frames**2)))
    both, either = set(expected) & set(emissions), set(expected) | set(emissions)
    share = len(both) / len(either) if either else 1.0
    return Difference(difference, share, len(expected), round(len(samples) / bundle.mel.sample_rate, 2))


def _run(bundle: Bundle, samples: Samples, *, prepack: bool = False) -> tuple[Frames, list[Emission]]:
    recognizer = load_bundle(bundle, threads=default_threads(), prepack=prepack)
    language = "auto" if "auto" in bundle.prompts else min(bundle.prompts)
    frames = recognizer.encode(samples, language=language, chunk_ms=_CHUNK_MS)
    if not np.isfinite(frames).all():
        raise ConversionError(f"the converted encoder returns NaN or infinite frames on speech. {_REMEDY}")
    transducer = recognizer.pipeline.decoder.transducer
    start = start_search(transducer)
    logits = transducer.join(frames[None, :1], start.prediction[None])
    if not np.isfinite(logits).all():
        raise ConversionError(f"the converted joint returns NaN or infinite logits on speech. {_REMEDY}")
    [(emissions, _)] = greedy_search(transducer, [frames], [start], bundle.sizes.max_symbols)
    return frames, emissions
