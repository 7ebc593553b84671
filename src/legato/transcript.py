"""What recognition gives back: tokens, words, transcripts and the events of a live stream.

All times are seconds from the start of the stream's audio. The model emits a token on an encoder frame of 80 ms, so
times are multiples of 0.08 and say when the token was *emitted*, which is up to one chunk after it was spoken.
"""

from dataclasses import dataclass
from typing import Literal

#: Why a segment ended: silence after speech, silence without any, its length, `commit()`, or the end of the stream.
Reason = Literal["pause", "silence", "length", "commit", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """One emitted token.

    Attributes:
        id: index into the vocabulary.
        piece: the SentencePiece piece as stored, with U+2581 for a leading space.
        time: start of the encoder frame that emitted it, in seconds.
        frame: index of that encoder frame.
    """

    id: int
    piece: str
    time: float
    frame: int


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the text, from the emission of its first token to the end of the frame of its last."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stream that is complete. It comes as an event, and nothing of it comes again.

    Attributes:
        text: its text, without language tags; empty when nothing was said.
        start, end: its borders in seconds of the stream; it starts where the one before ended. A border that a rule
            placed is the end of an 80 ms frame, so the last may lie that much behind the end of the audio.
        language: as in `Transcript`; where the segment has no tag, and none was asked for, that of the segment before.
        tokens: its tokens, language tags included.
        words: its words; their times count from the start of the stream.
        reason: why it ended.
        mostly_blank: see `Transcript`.
    """

    text: str
    start: float
    end: float
    language: str | None
    tokens: tuple[Token, ...]
    words: tuple[Word, ...]
    reason: Reason
    mostly_blank: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of one utterance, file or stream.

    Attributes:
        text: the text, without language tags.
        language: the last language tag that the model emitted (such as `en-US`); without one, the language that was
            asked for; None when that was `auto`.
        tokens: every emitted token in order, language tags included.
        words: the words of `text` with their times.
        duration: seconds of audio that were heard.
        segments: the segments with text, when there was endpointing.
        mostly_blank: much that sounded like speech gave next to no text, which a wrong language does; stays true until
            another language is set.
    """

    text: str
    language: str | None
    tokens: tuple[Token, ...]
    words: tuple[Word, ...]
    duration: float
    segments: tuple[Segment, ...] = ()
    mostly_blank: bool = False


@dataclass(frozen=True, slots=True)
class Partial:
    """New tokens came: the text so far. Greedy search never takes back what it said, so `text` only grows.

    Attributes:
        text: the whole text so far; after a `Segment`, that of the next one so far.
        tokens: the tokens that are new since the last event.
        time: seconds of audio that the encoder has used up to here.
    """

    text: str
    tokens: tuple[Token, ...]
    time: float


@dataclass(frozen=True, slots=True)
class Final:
    """The stream ended; nothing follows.

    Attributes:
        transcript: all that no `Segment` has told: everything where there were none, else no more than the duration.
            A stream forgets its segments; `legato.join_segments` makes a transcript of those that its caller kept.
    """

    transcript: Transcript


Event = Partial | Segment | Final
