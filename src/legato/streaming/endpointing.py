"""Where a segment of a live stream ends: rules on the silence that the model itself hears.

A frame is quiet when the search emitted no text on it (language tags are no text) and, with a voice activity detector,
when that heard no voice either. The rules are those of Kaldi's and NeMo's online recognisers. They look at one frame
after the other, so they do not depend on how the audio was cut.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from legato.text.pieces import join_texts
from legato.types import Reason, Segment, Transcript


@dataclass(frozen=True, slots=True)
class Endpointing:
    """When a segment ends; the first rule that applies ends it. Infinity switches a rule off.

    Attributes:
        after_speech: seconds of silence after speech (NeMo and Kaldi use 0.5 to 1.2). The model emits a word up to a
            chunk after it was spoken, so the silence is counted from then.
        without_speech: seconds of silence since the segment began, while nothing has been said in it.
        longest: seconds since the first speech of the segment, even in the middle of a word.
        reset: start the prediction net anew behind a segment, so that casing and punctuation do not depend on what was
            said minutes ago (as sherpa-onnx does; NeMo's pipeline carries it on). In the middle of speech that would
            lose words, so it waits for a silence of 0.8 s. The encoder's memory of the last seconds goes on in any
            case.
        vad: `none`, or `silero`: Silero VAD too must hear silence (`pip install 'legato[vad]'`). It places borders
            only; the recogniser hears all the audio.

    Raises:
        ValueError: a time that is not positive, or an unknown `vad`.
    """

    after_speech: float = 1.0
    without_speech: float = 5.0
    longest: float = 20.0
    reset: bool = True
    vad: Literal["none", "silero"] = "none"

    def __post_init__(self) -> None:
        for name in ("after_speech", "without_speech", "longest"):
            seconds = getattr(self, name)
            if not seconds > 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {seconds}. Infinity switches it off.")
        if self.vad not in ("none", "silero"):
            raise ValueError(f"vad must be 'none' or 'silero', not {self.vad!r}.")


#: For a stream without endpointing: only `commit` ends a segment.
NEVER = Endpointing(after_speech=math.inf, without_speech=math.inf, longest=math.inf)
#: Seconds of silence behind which the search may begin anew without losing words.
_SETTLED = 0.8


@dataclass(frozen=True, slots=True)
class EndpointState:
    """What the rules remember.

    Attributes:
        quiet: quiet frames at the end of the open segment.
        speech: frames since its first speech; 0 while there was none.
        still: quiet frames up to here, whatever segment they are in.
        due: the search is to begin anew as soon as it is still long enough.
    """

    quiet: int = 0
    speech: int = 0
    still: int = 0
    due: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the rules stopped.

    Attributes:
        state: what they remember for the frames that follow.
        frames: frames looked at.
        reason: why the segment ends with them; None when it goes on.
        reset: the search begins anew behind them.
    """

    state: EndpointState
    frames: int
    reason: Reason | None
    reset: bool


def next_stop(rules: Endpointing, state: EndpointState, speech: Iterable[bool], frame_seconds: float) -> Stop:
    """Go on through frames to the next endpoint or reset, or to their end.

    Args:
        rules: when a segment ends.
        state: from the `Stop` before; `EndpointState()` at the start of a stream.
        speech: for every frame whether it has speech.
        frame_seconds: seconds of a frame.
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
            reason = "length"
        if reason is not None:
            state = next_segment(rules, state)
        if state.due and still >= settled:
            return Stop(replace(state, due=False), count, reason, True)
        if reason is not None:
            return Stop(state, count, reason, False)
    return Stop(state, count, None, False)


def next_segment(rules: Endpointing, state: EndpointState) -> EndpointState:
    """What the rules remember behind an endpoint."""
    return EndpointState(still=state.still, due=rules.reset)


def _frames(seconds: float, frame_seconds: float) -> float:
    return math.ceil(seconds / frame_seconds - 1e-6) if math.isfinite(seconds) else math.inf


def join_segments(segments: Sequence[Segment], *, duration: float, language: str | None = None) -> Transcript:
    """Make one transcript of the segments of a stream.

    Args:
        segments: in order; those without text are left out.
        duration: seconds of audio heard.
        language: the language to name where no segment has one.
    """
    spoken = tuple(segment for segment in segments if segment.text)
    return Transcript(
        text=join_texts(segment.text for segment in spoken),
        language=next((segment.language for segment in reversed(spoken) if segment.language), language),
        tokens=tuple(token for segment in segments for token in segment.tokens),
        words=tuple(word for segment in spoken for word in segment.words),
        duration=duration,
        segments=spoken,
        mostly_blank=any(segment.mostly_blank for segment in segments),
        endpointed=True,
    )


def with_segments(segments: Sequence[Segment], rest: Transcript) -> Transcript:
    """Make one transcript of all segments of a stream and its last transcript, which holds what none of them told."""
    if not segments:
        return rest
    joined = join_segments(segments, duration=rest.duration, language=rest.language)
    return replace(
        joined,
        text=join_texts([joined.text, rest.text]),
        tokens=(*joined.tokens, *rest.tokens),
        words=(*joined.words, *rest.words),
        segments=(*joined.segments, *rest.segments),
        mostly_blank=rest.mostly_blank,
    )
