"""What recognition returns: tokens, words, transcripts and events; and the arrays that pass between the packages.

All times are seconds from the start of the stream's audio. The model emits a token on an encoder frame of 80 ms, so
times are multiples of 0.08. They say when the token was *emitted*, which is up to one chunk after it was spoken.

Confidences are between 0 and 1, rounded to four digits. They and log-probabilities take no part in comparisons with
`==`, because the last digits of a network's output depend on how many frames are computed per call.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

#: Audio: float32[n], mono, in [-1, 1].
Samples = NDArray[np.float32]
#: Mel or encoder frames: float32[n, width].
Frames = NDArray[np.float32]
Floats = NDArray[np.float32]

MeasureName = Literal["max_prob", "entropy"]
AggregationName = Literal["min", "mean", "prod"]

#: Why a segment ended: its sentence ended, after a pause, after a long silence, at its longest length, by a commit, or
#: with the stream.
Reason = Literal["sentence", "pause", "silence", "length", "commit", "end"]


@dataclass(frozen=True)
class MelConfig:
    """Constants of the front end.

    Attributes:
        sample_rate: Hz.
        mel_bins: bands of the filter bank.
        fft_length, hop_length, window_length: samples.
        pre_emphasis: factor of the sample before.
        constants_dtype: precision in which the checkpoint stores the window and the filter bank, `float32` or
            `bfloat16`. They are rounded to it and then used at full precision, as the frameworks do.

    Raises:
        ValueError: a value that no front end has, such as a window longer than the transform.
    """

    sample_rate: int = 16000
    mel_bins: int = 128
    fft_length: int = 512
    hop_length: int = 160
    window_length: int = 400
    pre_emphasis: float = 0.97
    constants_dtype: str = "float32"

    def __post_init__(self) -> None:
        if not 4000 <= self.sample_rate <= 192000:
            raise ValueError(f"the sample rate is {self.sample_rate} Hz, not 4000 to 192000")
        if not (1 <= self.mel_bins <= 1024 and self.mel_bins <= self.fft_length <= 1 << 16):
            raise ValueError(f"there are {self.mel_bins} mel bins of a transform of {self.fft_length} samples")
        if not 1 <= self.hop_length <= self.window_length <= self.fft_length:
            raise ValueError(
                f"hop, window and transform have {self.hop_length}, {self.window_length} and {self.fft_length} samples"
            )
        if self.constants_dtype not in {"float32", "bfloat16"}:
            raise ValueError(
                f"the constants of the front end are {self.constants_dtype!r:.40}, not float32 or bfloat16"
            )


_AGGREGATIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "mean": lambda values: sum(values) / len(values),
    "prod": math.prod,
}
_MEASURES = ("max_prob", "entropy")


@dataclass(frozen=True, slots=True)
class Confidence:
    """How confidence is measured; the definitions are NeMo's (see `legato.decode.confidence`).

    Attributes:
        measure: of a token: `max_prob` or `entropy`.
        aggregation: from the tokens of a word or segment to its own: `min`, `mean` or `prod`.

    Raises:
        ValueError: an unknown name.
    """

    measure: MeasureName = "max_prob"
    aggregation: AggregationName = "min"

    def __post_init__(self) -> None:
        for name, known in ((self.measure, _MEASURES), (self.aggregation, tuple(_AGGREGATIONS))):
            if name not in known:
                raise ValueError(f"unknown confidence {name!r}: use one of {', '.join(known)}")

    def aggregate(self, values: Sequence[float]) -> float:
        """Return the confidence of a word or segment from those of its tokens or words, rounded to four digits."""
        return round(_AGGREGATIONS[self.aggregation](values), 4)


@dataclass(frozen=True, slots=True)
class Token:
    """One emitted token.

    Attributes:
        id: index into the vocabulary.
        piece: the SentencePiece piece as stored, with U+2581 for a leading space.
        time: start of the encoder frame that emitted it, in seconds.
        frame: index of that encoder frame.
        confidence: between 0 and 1; 1 where it was not measured.
        logprob: natural logarithm of the probability that the joint gave the token, whatever measure `confidence` has;
            0 where it was not measured.
    """

    id: int
    piece: str
    time: float
    frame: int
    confidence: float = field(default=1.0, compare=False)
    logprob: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the text.

    In scripts that are written without spaces, a word is one character with its marks and punctuation.

    Attributes:
        text: the word as written, with punctuation.
        start: time of its first token, in seconds.
        end: end of the frame that emitted its last token, or of the audio, in seconds.
        confidence: aggregated from its tokens.
    """

    text: str
    start: float
    end: float
    confidence: float = field(default=1.0, compare=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a transcript, of one of two kinds.

    With endpoints it is a complete part of a stream: it comes as an event and nothing of it comes again. Without
    endpoints it is a sentence, the words between two pauses, or a part of something too long.

    Attributes:
        text: its text, without language tags; as an event, empty when nothing was said.
        start, end: seconds of the stream. An event starts where the one before ended; a border that a rule placed is
            the end of an 80 ms frame, so the last border may lie up to one frame after the end of the audio. Without
            endpoints they are those of the first and the last word.
        language: as in `Transcript`. An event without a tag has the language that was requested, else that of the
            event before. Without endpoints it is the language tag that the model emitted at the segment's end or later.
        tokens: those from its start until the next segment's, language tags included.
        words: its words; their times count from the start of the stream.
        reason: why it ended.
        mostly_blank: see `Transcript`; of events only.
        confidence: aggregated from its words.
        speaker: whose words they are, where that is known: a channel of a recording.
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
    """The text of one file or stream.

    Attributes:
        text: the text, without language tags.
        language: the last language tag that the model emitted, such as `en-US`; without one, the language that was
            requested; None when that was `auto`.
        tokens: every emitted token in order, language tags included.
        words: the words of `text` with their times.
        duration: seconds of audio that were accepted.
        segments: all words in segments, in order of time: those of endpoints, else sentences.
        mostly_blank: much audio that sounds like speech gave next to no text, as with a wrong language prompt; stays
            true until another language is set.
        endpointed: the segments are `Segment` events of a stream, not sentences.
        partial: only a part of the audio could be read, as of a damaged file, or an interrupt ended the work. What is
            missing was logged.
    """

    text: str
    language: str | None
    tokens: tuple[Token, ...]
    words: tuple[Word, ...]
    duration: float
    segments: tuple[Segment, ...] = ()
    mostly_blank: bool = False
    endpointed: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Partial:
    """New tokens of the open segment. Emitted text is never taken back, so `text` only grows.

    Attributes:
        text: the whole text so far; after a `Segment`, that of the next segment so far.
        tokens: the tokens that are new in the open segment. After a `Segment` that ended before its last word these are
            the tokens of that word, which now belong to the next segment.
        time: seconds of audio that the encoder has used so far.
    """

    text: str
    tokens: tuple[Token, ...]
    time: float


@dataclass(frozen=True, slots=True)
class Final:
    """The end of the stream; no event follows.

    Attributes:
        transcript: what no `Segment` event contained: everything if there were none, else only the duration. A stream
            does not keep its segments; `legato.join_segments` makes a transcript of those that the caller kept.
    """

    transcript: Transcript


Event = Partial | Segment | Final
