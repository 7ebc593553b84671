"""Runs what a conversion wrote, on a spoken sentence, before anybody else does."""

from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from legato.audio.source import read_audio
from legato.decode.greedy import Emission, greedy_search, start_search
from legato.errors import ConversionError
from legato.model.bundle import Bundle
from legato.recognizer import load_bundle
from legato.runtime.session import default_threads
from legato.types import Frames, Samples

_CHUNK_MS = 320


@dataclass(frozen=True)
class Difference:
    """A bundle against the same model in FP32 on the same audio.

    Attributes:
        encoder: root mean square of the difference of the encoder frames, over that of the frames.
        same_tokens: share of the tokens that are the same on the same frame (intersection over union), 1 where neither
            emitted any.
        tokens: tokens that FP32 emitted.
        seconds: length of the audio.
    """

    encoder: float
    same_tokens: float
    tokens: int
    seconds: float

    def figures(self) -> dict[str, float]:
        """The values by name."""
        return asdict(self)

    def describe(self) -> str:
        """One line of text."""
        return (
            f"against FP32 on {self.seconds:.1f} s of speech: encoder frames differ by {self.encoder:.2%}, "
            f"{self.same_tokens:.0%} of {self.tokens} tokens are the same"
        )


def check_runs(bundle: Bundle) -> None:
    """Run every graph once.

    Raises:
        ConversionError: a graph gives NaN or infinite numbers.
    """
    _run(bundle, _sample())


def compare(reference: Bundle, bundle: Bundle) -> Difference:
    """Run two bundles one after the other, so that only one is in memory.

    Raises:
        ConversionError: a graph gives NaN or infinite numbers.
    """
    samples = _sample()
    expected_frames, expected = _run(reference, samples)
    # Block-wise weights are 45 times slower where they are not rearranged; a rearranged copy of INT8 weights is small.
    frames, emissions = _run(bundle, samples, prepack=bundle.precision == "int8")
    difference = float(np.sqrt(np.mean((frames - expected_frames) ** 2) / np.mean(expected_frames**2)))
    both, either = set(expected) & set(emissions), set(expected) | set(emissions)
    share = len(both) / len(either) if either else 1.0
    return Difference(difference, share, len(expected), round(len(samples) / bundle.mel.sample_rate, 2))


def _sample() -> Samples:
    with resources.as_file(resources.files("legato") / "assets" / "samples" / "en.flac") as file:
        return read_audio(Path(file))


def _run(bundle: Bundle, samples: Samples, *, prepack: bool = False) -> tuple[Frames, list[Emission]]:
    recognizer = load_bundle(bundle, threads=default_threads(), prepack=prepack)
    language = "auto" if "auto" in bundle.prompts else min(bundle.prompts)
    frames = recognizer.encode(samples, language=language, chunk_ms=_CHUNK_MS)
    if not np.isfinite(frames).all():
        raise ConversionError("the encoder that was written gives NaN or infinite frames on speech.")
    transducer = recognizer.pipeline.decoder.transducer
    start = start_search(transducer)
    logits = transducer.join(frames[None, :1], start.prediction[None])
    if not np.isfinite(logits).all():
        raise ConversionError("the joint that was written gives NaN or infinite logits on speech.")
    [(emissions, _)] = greedy_search(transducer, [frames], [start], bundle.sizes.max_symbols)
    return frames, emissions
