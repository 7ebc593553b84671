"""The options of a stream, each with its unit, range and default."""

import math
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack

from legato.chunks import CHUNK_SIZES_MS, DEFAULT_CHUNK_MS, FRAME_MS, listing
from legato.decode.dispatch import DEFAULT_NGRAM_WEIGHT, Decoding
from legato.decode.ngram import NGram, open_ngram
from legato.decode.phrase_trie import PhraseTrie
from legato.decode.phrases import Phrases, compile_phrases
from legato.errors import ChunkSizeError, LegatoError
from legato.model.bundle import Bundle
from legato.model.calibration import Calibration
from legato.model.languages import AUTO


@dataclass(frozen=True, slots=True)
class Endpointing:
    """When a segment ends; the first rule that applies ends it. Infinity switches a rule off.

    Attributes:
        after_speech: seconds of silence after speech (NeMo and Kaldi use 0.5 to 1.2). The model emits a word up to a
            chunk after it was spoken, so the silence is counted from the emission.
        without_speech: seconds of silence since the start of the segment, while nothing has been said in it.
        longest: seconds since the first speech of the segment. It then ends at the longest gap between two words in its
            last third, else before its last word; what follows opens the next segment. No word is cut.
        reset: whether to restart the prediction net after a segment, so that casing and punctuation do not depend on
            what was said minutes ago (sherpa-onnx restarts it, NeMo's pipeline does not). A restart in the middle of
            speech would lose words, so it waits for a silence of 0.8 s. The encoder's caches are kept in any case.
        vad: `none`, or `silero`: Silero VAD too must detect silence (extra `vad`). It only places segment borders; the
            model receives all the audio.

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


def check_endpoint(endpoint: Endpointing | None) -> None:
    """Refuse what is no set of endpoint rules, such as `True`.

    Raises:
        TypeError: neither `Endpointing` nor None.
    """
    if endpoint is not None and not isinstance(endpoint, Endpointing):
        raise TypeError(f"endpoint must be legato.Endpointing() or None, not {endpoint!r:.60}.")


#: For a stream without endpointing: only a commit ends a segment.
NEVER = Endpointing(after_speech=math.inf, without_speech=math.inf, longest=math.inf)


#: `raw`: as the joint gives it (see `legato.Confidence`); `calibrated`: the probability that the word is right.
ConfidenceScale = Literal["raw", "calibrated"]


class StreamKeywords(TypedDict, total=False):
    """The fields of `StreamOptions` as keyword arguments."""

    language: str | None
    chunk_ms: int
    endpoint: Endpointing | None
    phrases: Phrases
    beam: int
    lm: str | Path | NGram | None
    lm_weight: float
    sample_rate: float | None
    confidence: ConfidenceScale


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """The options of a stream, for files and for live audio.

    Attributes:
        language: a locale or language code that the model has a prompt for, or `auto`, which lets the model detect it;
            None and an empty text mean `auto`.
        chunk_ms: milliseconds of audio that the model sees at once: 80, 160, 320, 560 or 1120. A larger chunk is more
            accurate and later.
        endpoint: when a segment ends; None for no endpoints. Needs greedy search.
        phrases: phrases to recognize more readily: texts, or pairs of a text and its weight (nats per token, default
            2), or the result of `Recognizer.compile_phrases`.
        beam: hypotheses that beam search keeps; 1 is greedy search, the fastest.
        lm: an n-gram language model over the model's pieces: an ARPA file, or the result of `Recognizer.open_ngram`.
            Meant for a beam of 4 or more.
        lm_weight: factor of the n-gram's log-probabilities, 0 to 2.
        sample_rate: of the samples that are passed, in Hz; None is the model's. Files state their own. Another rate is
            resampled; the last milliseconds in the resampler are not part of a stream's state.
        confidence: `raw`, or `calibrated`: the probability that a word is right, by the model's calibration (see
            `legato calibrate`). That of a token is the same function of its confidence.

    Raises:
        TypeError: `endpoint` is something else.
        ValueError: an unknown `confidence`.
    """

    language: str = AUTO
    chunk_ms: int = DEFAULT_CHUNK_MS
    endpoint: Endpointing | None = None
    phrases: Phrases = ()
    beam: int = 1
    lm: str | Path | NGram | None = None
    lm_weight: float = DEFAULT_NGRAM_WEIGHT
    sample_rate: float | None = None
    confidence: ConfidenceScale = "raw"

    def __post_init__(self) -> None:
        object.__setattr__(self, "language", AUTO if self.language in (None, "") else self.language)
        object.__setattr__(self, "chunk_ms", _whole(self.chunk_ms))
        object.__setattr__(self, "beam", _whole(self.beam))
        check_endpoint(self.endpoint)
        if self.confidence not in {"raw", "calibrated"}:
            raise ValueError(f"confidence must be 'raw' or 'calibrated', not {self.confidence!r}")

    @classmethod
    def of(cls, options: "StreamOptions | None" = None, **keywords: Unpack[StreamKeywords]) -> "StreamOptions":
        """Return `options`, or the defaults, with the given fields replaced.

        Raises:
            TypeError: an unknown keyword, or `options` is something else.
        """
        if options is not None and not isinstance(options, cls):
            raise TypeError(f"options are legato.StreamOptions or keywords such as language='en', not {options!r:.60}")
        given: dict[str, Any] = dict(keywords)
        return replace(options or cls(), **given)

    def compiled(self, bundle: Bundle) -> Self:
        """Return the same options with phrases compiled and the n-gram read, so that many streams can share them.

        Raises:
            PhraseError: a phrase is empty, cannot be spelled by the vocabulary, or its weight is out of range.
            NGramError: the n-gram cannot be read, or belongs to another vocabulary.
        """
        lm = open_ngram(Path(self.lm), bundle.pieces) if isinstance(self.lm, str | Path) else self.lm
        return replace(self, phrases=compile_phrases(self.phrases, bundle.pieces), lm=lm)

    def decoding(self, bundle: Bundle) -> Decoding:
        """Return how a stream with these options is decoded.

        Raises:
            PhraseError, NGramError: see `compiled`.
            ValueError: `beam` or `lm_weight` is out of range.
            LegatoError: endpoints together with beam search or an n-gram.
        """
        ready = self.compiled(bundle)  # no effect on options that are compiled already
        assert ready.phrases is None or isinstance(ready.phrases, PhraseTrie)
        assert not isinstance(ready.lm, str | Path)
        decoding = Decoding(ready.phrases, self.beam, ready.lm, self.lm_weight, frozenset(bundle.language_tags))
        if self.endpoint is not None and decoding.holds_back:
            raise LegatoError("Endpoints need greedy search: omit 'beam' and 'lm', or omit the endpoints.")
        return decoding

    def calibration(self, bundle: Bundle) -> Calibration | None:
        """Return the map of confidences of a stream with these options; None for raw ones.

        Raises:
            LegatoError: the model has no calibration.
        """
        if self.confidence == "raw":
            return None
        if bundle.calibration is None:
            raise LegatoError(
                f"The model {bundle.name} has no calibration. Make one from recordings with transcripts: "
                "legato calibrate MODEL MANIFEST. Or use the confidence 'raw'."
            )
        return bundle.calibration

    @property
    def holds_back(self) -> bool:
        """Whether tokens are released late, because beam search or an n-gram decides."""
        return self.beam > 1 or self.lm is not None

    @property
    def detects_voice(self) -> bool:
        """Whether the stream needs a voice activity detector."""
        return self.endpoint is not None and self.endpoint.vad != "none"

    @property
    def chunk_frames(self) -> int:
        """Encoder frames per chunk.

        Raises:
            ChunkSizeError: `chunk_ms` is no multiple of 80.
        """
        frames, rest = divmod(self.chunk_ms, FRAME_MS) if isinstance(self.chunk_ms, int) else (0, 0)
        if rest or frames < 1:
            raise ChunkSizeError(f"A chunk of {self.chunk_ms} ms is impossible. Use {listing(CHUNK_SIZES_MS)} ms.")
        return frames


def _whole(value: Any) -> Any:
    """Return a whole number of any type as an int; another value as it is: it is refused where it is used."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    number = float(value)
    return int(number) if number.is_integer() else value
