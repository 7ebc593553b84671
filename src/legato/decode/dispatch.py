"""Which search a stream uses, with which phrases and language model; streams of one batch may differ in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from legato.decode.beam import MAX_BEAM, beam_search, end_beam
from legato.decode.beam_state import BeamState, Hypothesis
from legato.decode.greedy import Emission, GreedyState, greedy_search, start_search
from legato.decode.ngram import NGram
from legato.decode.phrase_trie import PhraseTrie
from legato.decode.transducer import Transducer
from legato.types import Confidence, Floats

#: One stream's state of its search.
DecoderState = GreedyState | BeamState

DEFAULT_NGRAM_WEIGHT = 0.3
_MAX_NGRAM_WEIGHT = 2


@dataclass(frozen=True)
class Decoding:
    """How a stream is decoded.

    Attributes:
        phrases: phrases to recognize more readily.
        beam: hypotheses that are kept; 1 is greedy search.
        ngram: a language model; it needs beam search, with a beam of 1 as well.
        ngram_weight: factor of its log-probabilities, 0 to 2.
        tags: tokens that it does not score: language tags.

    Raises:
        ValueError: `beam` or `ngram_weight` is out of range.
    """

    phrases: PhraseTrie | None = None
    beam: int = 1
    ngram: NGram | None = None
    ngram_weight: float = DEFAULT_NGRAM_WEIGHT
    tags: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if type(self.beam) is not int or not 1 <= self.beam <= MAX_BEAM:
            raise ValueError(f"beam must be 1 to {MAX_BEAM}, not {self.beam}")
        if not 0 <= self.ngram_weight <= _MAX_NGRAM_WEIGHT:
            raise ValueError(f"lm_weight must be 0 to {_MAX_NGRAM_WEIGHT}, not {self.ngram_weight}")

    @property
    def holds_back(self) -> bool:
        """Whether tokens are released only some time after the frame that emitted them."""
        return self.beam > 1 or self.ngram is not None

    def begin(self, start: GreedyState) -> DecoderState:
        """Return the state of a new stream, from that of `start_search`."""
        if not self.holds_back:
            return start if self.phrases is None else replace(start, phrases=self.phrases)
        context = self.ngram.start() if self.ngram is not None else ()
        first = Hypothesis((), 0.0, 0.0, start, context=context)
        return BeamState((first,), self.beam, self.phrases, self.ngram, self.ngram_weight, self.tags)


class Decoder:
    """Decodes the frames of streams, each with its own search. It keeps no state between calls.

    Attributes:
        transducer: prediction net and joint.
        max_symbols: largest number of tokens per frame.
        confidence: how the confidence of tokens is measured.
    """

    def __init__(self, transducer: Transducer, max_symbols: int, confidence: Confidence) -> None:
        self.transducer = transducer
        self.max_symbols = max_symbols
        self.confidence = confidence
        self._start = start_search(transducer)

    def start(self, decoding: Decoding) -> DecoderState:
        """Return the state of a new stream."""
        return decoding.begin(self._start)

    def decode(
        self, rows: Sequence[Floats], states: Sequence[DecoderState]
    ) -> list[tuple[list[Emission], DecoderState]]:
        """Decode the next frames of several streams; arguments and result as of `greedy_search`."""
        results: dict[int, tuple[list[Emission], DecoderState]] = {}
        searches: list[tuple[type, Callable[..., Any]]] = [(GreedyState, greedy_search), (BeamState, beam_search)]
        for kind, search in searches:
            if own := [n for n, state in enumerate(states) if isinstance(state, kind)]:
                some_rows, some_states = [rows[n] for n in own], [states[n] for n in own]
                found = search(self.transducer, some_rows, some_states, self.max_symbols, self.confidence)
                results.update(zip(own, found, strict=True))
        return [results[n] for n in range(len(rows))]

    def end(self, state: DecoderState) -> tuple[list[Emission], DecoderState]:
        """Release the tokens that a search still holds back, at the end of a stream or segment."""
        return end_beam(state) if isinstance(state, BeamState) else ([], state)
