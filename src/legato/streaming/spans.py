"""The search of a step, cut where a segment ends or the search begins anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from legato.decode.dispatch import Place, search_rows
from legato.decode.greedy import Emission
from legato.runtime.encoder import FACTOR
from legato.runtime.features import Frames
from legato.runtime.vad import WINDOW
from legato.streaming.endpointing import NEVER, EndpointState, next_stop
from legato.types import Reason

if TYPE_CHECKING:
    from legato.recognizer import Recognizer
    from legato.streaming.stream import StreamState


@dataclass(frozen=True)
class Stretch:
    """What the search found in frames that belong together.

    Attributes:
        start, stop: the frames, counted from the first of the step; `stop` is not among them.
        emissions: in order, their frames counted likewise; beam search may give them out late, so even before 0.
        search, endpoint: the states behind them.
        reason: why the segment ends with them; None when it goes on.
    """

    start: int
    stop: int
    emissions: list[Emission]
    search: Place
    endpoint: EndpointState
    reason: Reason | None


def search_stretches(
    recognizer: "Recognizer", rows: Sequence[Frames], states: Sequence["StreamState"], firsts: Sequence[int]
) -> list[list[Stretch]]:
    """Search the next frames of several streams; the states stay as they are.

    Args:
        recognizer: the model.
        rows: float32[n, width] for every stream.
        states: the streams.
        firsts: index in its stream of each row's first frame.

    Returns:
        For every stream its stretches in order, at least one.
    """
    stretches: list[list[Stretch]] = [[] for _ in rows]
    starts = [
        min(max(0, state.searched - first), len(row)) for row, state, first in zip(rows, states, firsts, strict=True)
    ]
    places = [state.search for state in states]
    endings = [state.ending for state in states]
    active = list(range(len(rows)))
    while active:
        found = search_rows(
            recognizer.transducer,
            [rows[i][starts[i] :] for i in active],
            [places[i] for i in active],
            recognizer.bundle.sizes.max_symbols,
            recognizer.confidence,
        )
        again = []
        for i, (emissions, place) in zip(active, found, strict=True):
            moved = [replace(e, frame=e.frame + starts[i]) for e in emissions] if starts[i] else emissions
            part = Stretch(starts[i], len(rows[i]), moved, place, endings[i], None)
            # Beam search gives tokens out late, so there are no rules: see `Recognizer.start`.
            cut = [part] if states[i].decoding.holds_back else _cut(recognizer, states[i], firsts[i], part)
            stretches[i] += cut
            # Where the search begins anew, what it found behind that place does not count.
            if (stop := cut[-1].stop) < len(rows[i]):
                starts[i], places[i], endings[i] = stop, cut[-1].search, cut[-1].endpoint
                again.append(i)
        active = again
    return stretches


def _cut(recognizer: "Recognizer", state: "StreamState", first: int, part: Stretch) -> list[Stretch]:
    """Cut a stretch at its endpoints, up to the first behind which the search begins anew."""
    rules = state.rules or NEVER
    speech = _speech(recognizer, state, first, part)
    cut: list[Stretch] = []
    start, place = part.start, part.endpoint
    while True:
        heard = map(bool, speech[start - part.start :])
        found = next_stop(rules, place, heard, recognizer.bundle.frame_seconds)
        stop, place = start + found.frames, found.state
        emissions = [emission for emission in part.emissions if start <= emission.frame < stop]
        search = state.fresh if found.reset else part.search
        cut.append(Stretch(start, stop, emissions, search, place, found.reason))
        if found.reset or stop == part.stop:
            return cut
        start = stop


def _speech(recognizer: "Recognizer", state: "StreamState", first: int, part: Stretch) -> NDArray[np.bool_]:
    """Whether each frame of a stretch has speech."""
    speech = np.zeros(part.stop - part.start, bool)
    for emission in part.emissions:
        if emission.token not in recognizer.bundle.language_tags:
            speech[emission.frame - part.start] = True
    if state.voice is not None:
        # Frame q depends on audio up to its start, and has come no later than the windows that are complete by then.
        samples = FACTOR * recognizer.bundle.mel.hop_length
        for number in range(len(speech)):
            heard = (first + part.start + number) * samples
            windows = state.voices.between(max(0, heard - samples) // WINDOW, heard // WINDOW)
            speech[number] |= bool(windows.any())
    return speech
