"""The number of live streams that a model holds on this machine, from a short measurement."""

import time
from statistics import median

from legato.audio.sample import read_sample
from legato.chunks import FRAME_MS
from legato.options import StreamOptions
from legato.recognizer import Recognizer

_ROWS = 16
_SECONDS = 0.5
#: Share of the time that the model may take; the rest is for the clients' messages, for files and for peaks.
_SHARE = 0.6


def measured_streams(recognizer: Recognizer, options: StreamOptions) -> int:
    """Return how many live streams with the given options are held, at least 1; takes half a second or two steps.

    Every process of a server measures at the same time, so that each finds its share of the machine.
    """
    pipeline = recognizer.pipeline
    speech = read_sample()
    states = [recognizer.start(options) for _ in range(_ROWS)]
    frames = options.chunk_ms // FRAME_MS
    size = recognizer.sample_rate * options.chunk_ms // 1000
    spent: list[float] = []
    began = time.monotonic()
    for start in range(0, len(speech) - size + 1, size):
        before = time.monotonic()
        for state in states:
            pipeline.feed(state, speech[start : start + size])
        if all(pipeline.ready(state) for state in states):
            pipeline.step(states, frames)
            spent.append(time.monotonic() - before)
        if time.monotonic() - began > _SECONDS and len(spent) > 1:
            break
    seconds = median(spent[1:] or spent)  # the first step allocates memory
    return max(1, int(_SHARE * _ROWS * options.chunk_ms / 1000 / seconds))
