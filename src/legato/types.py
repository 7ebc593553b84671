"""What recognition gives back: tokens, words, transcripts and the events of a live stream.

All times are seconds from the start of the stream's audio. The model emits a token on an encoder frame of 80 ms, so
times are multiples of 0.08 and say when the token was *emitted*, which is up to one chunk after it was spoken.

Confidences are between 0 and 1, rounded to four digits (see `legato.decode.confidence`). They take no
part in comparisons with `==`: the last digits of a network's output depend on how many frames are computed in a call.
"""

from dataclasses import dataclass, field
from typing import Literal

#: Why a segment ended: the sentence did, a pause came, nothing was said for long, it grew too long, `commit()` was
#: called, or nothing followed.
Reason = Literal["sentence", "pause", "silence", "length", "commit", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """One emitted token.

    Attributes:
        id: index into the vocabulary.
        piece: the SentencePiece piece as stored, with U+2581 for a leading space.
        time: start of the encoder frame that emitted it, in seconds.
        frame: index of that encoder frame.
        confidence: how sure the model was; 1 where nothing measured it.
    """

    id: int
    piece: str
    time: float
    frame: int
    confidence: float = field(default=1.0, compare=False)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the text, from the emission of its first token to the end of the frame of its last.

    In scripts that are written without spaces a word is one character with its marks and punctuation.
    """

    text: str
    start: float
    end: float
    confidence: float = field(default=1.0, compare=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a transcript, in one of two kinds.

    With endpoints it is a part of a stream that is complete: it comes as an event, and nothing of it comes again.
    Without them, a sentence, what stands between two pauses, or a part of something too long.

    Attributes:
        text: its text, without language tags; as an event, empty when nothing was said.
        start, end: seconds of the stream. Of an event its borders: it starts where the one before ended, and a border
            that a rule placed is the end of an 80 ms frame, so the last may lie that much behind the end of the audio.
            Otherwise those of its first and last word.
        language: as in `Transcript`. Of an event without a tag, and none was asked for, that of the one before;
            otherwise the language tag that the model emitted at its end or later.
        tokens: those from its start until the next segment's, language tags included.
        words: its words; their times count from the start of the stream.
        reason: why it ended.
        mostly_blank: see `Transcript`; of events only.
        confidence: of its words, aggregated as words are.
        speaker: whose words they are, where it is known: a channel of a recording.
    """

    text: str
    start: float
    end: float
    language: str | None
    tokens: tuple[Token, ...]
    words: tuple[Word, ...]
    reason: Reason = "end"
    mostly_blank: bool = False
    confidence: float = field(default=1.0, compare=False)
    speaker: str | None = None


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
        segments: all words in stretches, in order of time: those that endpoints made, else sentences.
        mostly_blank: much that sounded like speech gave next to no text, which a wrong language does; stays true until
            another language is set.
        endpointed: the segments are `Segment` events of a stream, not sentences.
    """

    text: str
    language: str | None
    tokens: tuple[Token, ...]
    words: tuple[Word, ...]
    duration: float
    segments: tuple[Segment, ...] = ()
    mostly_blank: bool = False
    endpointed: bool = False


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
