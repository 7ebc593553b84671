"""Which search a stream uses, and with what help; streams of one batch may differ in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from legato.decode.beam import MAX_BEAM, BeamState, Hypothesis, beam_search, end_beam
from legato.decode.confidence import Confidence
from legato.decode.greedy import Emission, SearchState, greedy_search
from legato.decode.ngram import NGram
from legato.decode.phrases import PhraseTrie
from legato.runtime.transducer import Floats, Transducer

#: A stream's place in its search.
Place = SearchState | BeamState

DEFAULT_NGRAM_WEIGHT = 0.3
_CONFIDENCE = Confidence()


@dataclass(frozen=True)
class Decoding:
    """How a stream is searched.

    Attributes:
        phrases: what is to be recognised more readily.
        beam: hypotheses that are kept; 1 is greedy search.
        ngram: a language model; it is asked by beam search, with a beam of 1 too.
        ngram_weight: factor of its logarithms, 0 to 2.
        tags: tokens that it does not judge.
    """

    phrases: PhraseTrie | None = None
    beam: int = 1
    ngram: NGram | None = None
    ngram_weight: float = DEFAULT_NGRAM_WEIGHT
    tags: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if not 1 <= self.beam <= MAX_BEAM:
            raise ValueError(f"beam must be 1 to {MAX_BEAM}, not {self.beam}")
        if not 0 <= self.ngram_weight <= 2:
            raise ValueError(f"lm_weight must be 0 to 2, not {self.ngram_weight}")

    @property
    def holds_back(self) -> bool:
        """Whether tokens are given out only some time after the frame that emitted them."""
        return self.beam > 1 or self.ngram is not None

    def begin(self, start: SearchState) -> Place:
        """The place of a new stream, from what `start_search` returned."""
        if not self.holds_back:
            return start if self.phrases is None else SearchState(start.prediction, start.h, start.c, self.phrases)
        context = self.ngram.start() if self.ngram is not None else ()
        first = Hypothesis((), 0.0, 0.0, start, context=context)
        return BeamState((first,), self.beam, self.phrases, self.ngram, self.ngram_weight, self.tags)


def search_rows(
    transducer: Transducer,
    rows: Sequence[Floats],
    places: Sequence[Place],
    max_symbols: int,
    confidence: Confidence = _CONFIDENCE,
) -> list[tuple[list[Emission], Place]]:
    """Search the next frames of several streams, each in its own way; arguments and result as of `greedy_search`."""
    greedy = [(n, place) for n, place in enumerate(places) if isinstance(place, SearchState)]
    beams = [(n, place) for n, place in enumerate(places) if isinstance(place, BeamState)]
    found: dict[int, tuple[list[Emission], Place]] = {}
    if greedy:
        results = greedy_search(
            transducer, [rows[n] for n, _ in greedy], [place for _, place in greedy], max_symbols, confidence
        )
        found.update(zip((n for n, _ in greedy), results, strict=True))
    if beams:
        wide = beam_search(
            transducer, [rows[n] for n, _ in beams], [place for _, place in beams], max_symbols, confidence
        )
        found.update(zip((n for n, _ in beams), wide, strict=True))
    return [found[n] for n in range(len(rows))]


def end_search(place: Place) -> tuple[list[Emission], Place]:
    """Give out what a search still holds back, at the end of a stream or segment."""
    return end_beam(place) if isinstance(place, BeamState) else ([], place)
