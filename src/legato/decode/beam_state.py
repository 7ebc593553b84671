"""The state of beam search: the hypotheses of one stream."""

from dataclasses import dataclass

from legato.decode.greedy import Emission, GreedyState
from legato.decode.ngram import Context, NGram
from legato.decode.phrase_trie import PhraseTrie


@dataclass(frozen=True)
class Hypothesis:
    """One continuation of what has been released.

    Attributes:
        tokens: its tokens that are not released yet; their frames count from the start of the stream.
        score: natural logarithm of its probability, with the n-gram's share.
        bonus: boost that its phrases have earned, in nats.
        net: the prediction net after its last token.
        node: its node in the phrase trie.
        context: its last tokens, for the n-gram.
        open: the part of `bonus` that an unfinished phrase has earned.
    """

    tokens: tuple[Emission, ...]
    score: float
    bonus: float
    net: GreedyState
    node: int = 0
    context: Context = ()
    open: float = 0.0

    @property
    def rank(self) -> float:
        """The value by which hypotheses are compared."""
        return self.score + self.bonus

    @property
    def key(self) -> tuple[int, ...]:
        """The ids of its tokens."""
        return tuple(emission.token for emission in self.tokens)


@dataclass(frozen=True)
class BeamState:
    """One stream's state of beam search.

    Attributes:
        hypotheses: the best first.
        width: hypotheses that are kept.
        phrases, ngram: what helps to choose.
        ngram_weight: factor of the n-gram's log-probabilities.
        tags: tokens that the n-gram does not score: language tags.
        frame: frames of the stream so far.
    """

    hypotheses: tuple[Hypothesis, ...]
    width: int
    phrases: PhraseTrie | None = None
    ngram: NGram | None = None
    ngram_weight: float = 0.0
    tags: frozenset[int] = frozenset()
    frame: int = 0
