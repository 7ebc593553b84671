"""Where a segment of a live stream ends: rules on the silence that the model itself detects.

A frame is quiet when the search emitted no text on it (language tags are no text) and, with a voice activity detector,
when the detector found no speech either. The rules are those of Kaldi's and NeMo's online recognizers. They examine one
frame after the other, so they do not depend on how the audio was divided.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from legato.options import Endpointing
from legato.types import Reason

#: Seconds of silence after which the search can restart without losing words.
_SETTLED = 0.8


@dataclass(frozen=True, slots=True)
class EndpointState:
    """The state of the rules.

    Attributes:
        quiet: quiet frames at the end of the open segment.
        speech: frames since its first speech; 0 before the first speech.
        still: quiet frames up to now, across segments.
        due: the search restarts as soon as the silence is long enough.
    """

    quiet: int = 0
    speech: int = 0
    still: int = 0
    due: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the rules stopped.

    Attributes:
        state: their state for the frames that follow.
        frames: frames that were examined.
        reason: why the segment ends after these frames; None if it continues. At its longest length the segment ends
            between two words that are already known, and the state is that before the border: see `next_segment`.
        reset: the search restarts after them.
    """

    state: EndpointState
    frames: int
    reason: Reason | None
    reset: bool


def next_stop(rules: Endpointing, state: EndpointState, speech: Iterable[bool], frame_seconds: float) -> Stop:
    """Examine frames up to the next endpoint or restart, or to their end.

    Args:
        state: that of the previous `Stop`; `EndpointState()` at the start of a stream.
        speech: whether each frame contains speech.
        frame_seconds: seconds per frame.
    """
    after, without, longest, settled = (
        _frames(seconds, frame_seconds)
        for seconds in (rules.after_speech, rules.without_speech, rules.longest, _SETTLED)
    )
    count = 0
    for loud in speech:
        count += 1
        began = loud or state.speech > 0
        quiet, still = (0, 0) if loud else (state.quiet + 1, state.still + 1)
        state = EndpointState(quiet, state.speech + began, still, state.due)
        reason: Reason | None = None
        if began and quiet >= after:
            reason = "pause"
        elif not began and quiet >= without:
            reason = "silence"
        elif state.speech >= longest:
            return Stop(state, count, "length", False)
        if reason is not None:
            state = next_segment(rules, state)
        if state.due and still >= settled:
            return Stop(replace(state, due=False), count, reason, True)
        if reason is not None:
            return Stop(state, count, reason, False)
    return Stop(state, count, None, False)


def next_segment(rules: Endpointing, state: EndpointState, spoken: int = 0) -> EndpointState:
    """Return the state of the rules after an endpoint.

    Args:
        state: the state before the endpoint.
        spoken: frames up to now that belong to the next segment already, because its first word has begun.
    """
    quiet = min(state.quiet, spoken) if spoken else 0
    return EndpointState(quiet=quiet, speech=spoken, still=state.still, due=rules.reset)


def _frames(seconds: float, frame_seconds: float) -> float:
    return math.ceil(seconds / frame_seconds - 1e-6) if math.isfinite(seconds) else math.inf
