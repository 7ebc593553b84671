"""One utterance through one variant: encoder frames, tokens, and the joint's distributions along FP32's path."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from legato.audio.arrays import blocks_of
from legato.decode.greedy import Emission, greedy_search, start_search
from legato.decode.numerics import log_softmax
from legato.decode.transducer import Transducer
from legato.model.bundle import Bundle
from legato.recognizer import Recognizer
from legato.text.pieces import TextBuilder
from legato.types import Frames, Samples

Doubles = NDArray[np.float64]

#: Number of outcomes of a distribution that are distinguished; the rest counts as one. A few have nearly all of the
#: probability.
_KEPT = 64
#: Number of steps whose whole distributions are in memory at once.
_BLOCK = 64


@dataclass(frozen=True)
class SearchPath:
    """The search path of FP32 through one utterance, with the distribution at every step.

    A step is an evaluation of the joint: one per frame, and one more per emitted token.

    Attributes:
        emissions: the tokens that FP32 emitted.
        kept: int64[steps, k], the most likely outcomes of every step.
        logs: float64[steps, k + 1], their log probabilities, and that of all others together.
    """

    emissions: tuple[Emission, ...]
    kept: NDArray[np.int64]
    logs: Doubles

    def divergence(self, transducer: Transducer, frames: Frames) -> float:
        """Return the sum over the steps of KL(FP32 || variant) in nats, for a variant's transducer on its frames.

        Both follow FP32's path, so that an early difference does not count again at every later step.
        """
        total, first = 0.0, 0
        for logs in _distributions(transducer, frames, self.emissions):
            rows = slice(first, first + len(logs))
            ours, theirs = _lumped(logs, self.kept[rows]), self.logs[rows]
            total += float((np.exp(theirs) * (theirs - ours)).sum())
            first += len(logs)
        return max(total, 0.0)


def search_path(transducer: Transducer, frames: Frames, emissions: Sequence[Emission]) -> SearchPath:
    """Follow the path of a search, and record the distributions."""
    kept, logs = [], []
    for steps in _distributions(transducer, frames, emissions):
        count = min(_KEPT, steps.shape[1])
        kept.append(np.argpartition(-steps, count - 1, axis=1)[:, :count])
        logs.append(_lumped(steps, kept[-1]))
    return SearchPath(tuple(emissions), np.concatenate(kept), np.concatenate(logs))


def _distributions(transducer: Transducer, frames: Frames, emissions: Sequence[Emission]) -> Iterator[Doubles]:
    """Yield log probabilities float64[n, vocabulary + 1], one row per step, a few steps at a time."""
    start = start_search(transducer)
    prediction, h, c = start.prediction[None], start.h[:, None], start.c[:, None]
    first = 0
    for emission in [*emissions, None]:
        end = len(frames) if emission is None else emission.frame + 1
        for begin in range(first, end, _BLOCK):
            block = frames[None, begin : min(begin + _BLOCK, end)]
            yield log_softmax(transducer.join(block, prediction)[0])
        if emission is not None:
            prediction, h, c = transducer.predict(np.array([emission.token]), h, c)
            first = emission.frame


def _lumped(logs: Doubles, kept: NDArray[np.int64]) -> Doubles:
    """Return the log probabilities of some outcomes, and of all others together: float64[steps, k + 1]."""
    others = np.exp(logs)
    np.put_along_axis(others, kept, 0, axis=1)
    rest = np.log(np.maximum(others.sum(axis=1, keepdims=True), 1e-30))
    return np.concatenate([np.take_along_axis(logs, kept, axis=1), rest], axis=1)


def encoder_frames(recognizer: Recognizer, samples: Samples, language: str, chunk_ms: int, *, live: bool) -> Frames:
    """Return the frames of a whole utterance, float32[T, width].

    Args:
        samples: the audio, float32[n] at 16 kHz.
        language: locale or language code, or `auto`.
        live: compute one chunk per call, as a stream does. Otherwise many, which is faster, and equal if the results
            of a frame do not depend on the other frames of the call.
    """
    if not live:
        return recognizer.encode(samples, language=language, chunk_ms=chunk_ms)
    state = recognizer.start(language=language, chunk_ms=chunk_ms)
    collected = []
    for block in [*blocks_of(samples), samples[:0]]:
        recognizer.pipeline.feed(state, block, last=not len(block))
        while count := recognizer.pipeline.ready(state):
            collected.append(recognizer.pipeline.encode(state, count))
    return np.concatenate(collected)


def tokens_of(transducer: Transducer, frames: Frames, chunk: int, max_symbols: int) -> list[Emission]:
    """Search a whole utterance, `chunk` frames at a time."""
    state = start_search(transducer)
    found: list[Emission] = []
    for first in range(0, len(frames), chunk):
        [(emissions, state)] = greedy_search(transducer, [frames[first : first + chunk]], [state], max_symbols)
        found += (Emission(emission.token, first + emission.frame) for emission in emissions)
    return found


def text_of(bundle: Bundle, emissions: Sequence[Emission]) -> str:
    """Return the text of tokens, without language tags."""
    text = TextBuilder()
    for emission in emissions:
        if emission.token not in bundle.language_tags:
            text.add(bundle.pieces[emission.token])
    return text.text
