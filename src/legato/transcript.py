"""What recognition gives back: tokens, words, transcripts and the events of a live stream.

All times are seconds from the start of the stream's audio. The model emits a token on an encoder frame of 80 ms, so
times are multiples of 0.08 and say when the token was *emitted*, which is up to one chunk after it was spoken.
"""

from dataclasses import dataclass


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
class Transcript:
    """The text of one utterance, file or stream.

    Attributes:
        text: the text, without language tags.
        language: the last language tag that the model emitted (such as `en-US`); without one, the language that was
            asked for; None when that was `auto`.
        tokens: every emitted token in order, language tags included.
        words: the words of `text` with their times.
        duration: seconds of audio that were heard.
    """

    text: str
    language: str | None
    tokens: tuple[Token, ...]
    words: tuple[Word, ...]
    duration: float


@dataclass(frozen=True, slots=True)
class Partial:
    """New tokens came: the text so far. Greedy search never takes back what it said, so `text` only grows.

    Attributes:
        text: the whole text so far.
        tokens: the tokens that are new since the last event.
        time: seconds of audio that the encoder has used up to here.
    """

    text: str
    tokens: tuple[Token, ...]
    time: float


@dataclass(frozen=True, slots=True)
class Final:
    """The stream ended; nothing follows."""

    transcript: Transcript


Event = Partial | Final
