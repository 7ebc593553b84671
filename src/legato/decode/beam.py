"""RNN-T beam search over the rows of a batch, frame by frame.

Every hypothesis may emit up to `max_symbols` tokens on a frame, as in greedy search; hypotheses with the same tokens
are merged, their probabilities added. With a beam of 1 and nothing else this is greedy search.

Phrases add their boost to the log-probability by which hypotheses are compared, at most as much as makes a token as
likely as all tokens together: they have a say in which token comes, not in whether one comes. An n-gram shares out
anew, among the likeliest tokens, the probability that the model gives to all of them together: blank keeps its own, so
a language model neither deletes nor inserts.

A token is given out as soon as all hypotheses agree on it, frame by frame and not call by call, so the result does not
depend on how the frames are cut into calls. A token on which they still differ after `PATIENCE` frames is decided by
the best of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from legato.decode.confidence import Confidence
from legato.decode.greedy import Emission, SearchState
from legato.decode.ngram import Context, NGram
from legato.decode.phrases import PhraseTrie
from legato.runtime.transducer import Floats, Transducer

#: Frames after which a token is given out at the latest (2 s).
PATIENCE = 25
MAX_BEAM = 64
#: Tokens for each place in the beam among which an n-gram decides.
_CANDIDATES = 4

_CONFIDENCE = Confidence()
_Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Hypothesis:
    """One way to continue what has been given out.

    Attributes:
        tokens: its tokens that are not given out yet, each with the frame of the stream that emitted it and how
            sure the model was.
        score: natural logarithm of its probability, with the n-gram's share.
        bonus: boost that its phrases have earned, in nats.
        open: the part of it that an unfinished phrase has earned.
        place: the prediction net behind its last token.
        node: its node in the phrase trie.
        context: its last tokens for the n-gram.
    """

    tokens: tuple[tuple[int, int, float], ...]
    score: float
    bonus: float
    place: SearchState
    node: int = 0
    context: Context = ()
    open: float = 0.0

    @property
    def rank(self) -> float:
        """By this hypotheses are compared."""
        return self.score + self.bonus

    @property
    def key(self) -> tuple[int, ...]:
        """Its tokens alone."""
        return tuple(token for token, _, _ in self.tokens)


@dataclass(frozen=True)
class BeamState:
    """One stream's place in the search.

    Attributes:
        hypotheses: the best first.
        width: hypotheses that are kept.
        phrases, ngram: what helps to choose.
        ngram_weight: factor of the n-gram's logarithms.
        tags: tokens that the n-gram does not judge: language tags.
        frame: frames of the stream so far.
    """

    hypotheses: tuple[Hypothesis, ...]
    width: int
    phrases: PhraseTrie | None = None
    ngram: NGram | None = None
    ngram_weight: float = 0.0
    tags: frozenset[int] = frozenset()
    frame: int = 0


def beam_search(
    transducer: Transducer,
    rows: Sequence[Floats],
    states: Sequence[BeamState],
    max_symbols: int,
    confidence: Confidence = _CONFIDENCE,
) -> list[tuple[list[Emission], BeamState]]:
    """Search the next frames of several streams; arguments as for `greedy_search`.

    Returns:
        For every stream the emissions that became certain, in order, and its next state. An emission may lie before
        this call: then its frame is negative.
    """
    emissions: list[list[Emission]] = [[] for _ in rows]
    places = list(states)
    for frame in range(max(map(len, rows), default=0)):
        here = [number for number, row in enumerate(rows) if frame < len(row)]
        found = _frame(transducer, [rows[n][frame] for n in here], [places[n] for n in here], max_symbols, confidence)
        for number, hypotheses in zip(here, found, strict=True):
            given, places[number] = _give_out(replace(places[number], hypotheses=hypotheses))
            start = states[number].frame
            emissions[number] += [Emission(token, when - start, sure) for token, when, sure in given]
            places[number] = replace(places[number], frame=places[number].frame + 1)
    return list(zip(emissions, places, strict=True))


def end_beam(state: BeamState) -> tuple[list[Emission], BeamState]:
    """Decide for the best hypothesis: its open tokens, their frames counted from the next one (negative)."""
    best = max(state.hypotheses, key=lambda one: one.rank - one.open)
    emissions = [Emission(token, frame - state.frame, sure) for token, frame, sure in best.tokens]
    return emissions, replace(state, hypotheses=(replace(best, tokens=()),))


@dataclass(frozen=True)
class _Extension:
    """A hypothesis with one more token, before the prediction net has seen that."""

    parent: Hypothesis
    token: int
    score: float
    bonus: float
    open: float
    node: int
    logits: Floats

    @property
    def rank(self) -> float:
        return self.score + self.bonus


def _frame(
    transducer: Transducer,
    frames: Sequence[Floats],
    states: Sequence[BeamState],
    max_symbols: int,
    confidence: Confidence,
) -> list[tuple[Hypothesis, ...]]:
    """The hypotheses of every row behind one frame, the best first; frames float32[width] each."""
    active = [list(state.hypotheses) for state in states]
    # Hypotheses that are done with this frame, by their tokens.
    done: list[dict[tuple[int, ...], Hypothesis]] = [{} for _ in states]
    for _ in range(max_symbols):
        flat = [(row, hypothesis) for row, many in enumerate(active) for hypothesis in many]
        if not flat:
            break
        predictions = np.stack([hypothesis.place.prediction for _, hypothesis in flat])
        logits = transducer.join(np.stack([frames[row] for row, _ in flat])[:, None], predictions)[:, 0]
        chosen: list[tuple[int, _Extension]] = []
        first = 0
        for row, state in enumerate(states):
            many, active[row] = active[row], []
            if not many:
                continue
            extensions = []
            for hypothesis, values in zip(many, logits[first : first + len(many)], strict=True):
                scores = _log_softmax(values)
                _settle(done[row], replace(hypothesis, score=hypothesis.score + float(scores[transducer.blank])))
                extensions += _extend(hypothesis, scores[: transducer.blank], values, state)
            first += len(many)
            # A stable sort, extensions first: among equals a token wins over blank, the one with the lower id first.
            pool: list[_Extension | Hypothesis] = [*extensions, *done[row].values()]
            pool.sort(key=lambda one: -one.rank)
            kept = pool[: state.width]
            done[row] = {one.key: one for one in kept if isinstance(one, Hypothesis)}
            chosen += [(row, one) for one in kept if isinstance(one, _Extension)]
        for (row, _), hypothesis in zip(chosen, _predict(transducer, chosen, states, confidence), strict=True):
            active[row].append(hypothesis)
    for row, many in enumerate(active):
        for hypothesis in many:  # these have emitted all that a frame may
            _settle(done[row], hypothesis)
    return [tuple(sorted(row.values(), key=lambda one: -one.rank)) for row in done]


def _settle(done: dict[tuple[int, ...], Hypothesis], new: Hypothesis) -> None:
    """Note a hypothesis that is done with the frame, or add its probability to that of its equal."""
    key = new.key
    known = done.get(key)
    if known is not None:
        likelier = known if known.score >= new.score else new
        new = replace(likelier, score=float(np.logaddexp(known.score, new.score)))
    done[key] = new


def _extend(hypothesis: Hypothesis, scores: _Scores, logits: Floats, state: BeamState) -> list[_Extension]:
    """The best extensions of a hypothesis.

    Args:
        hypothesis: what is extended.
        scores: float64[vocabulary], logarithms of the model's probabilities.
        logits: float32[vocabulary + 1], what they were made of.
        state: the stream's.
    """
    boosts = _boosts(hypothesis, scores, state)
    if state.ngram is not None:
        tokens = _best(scores + boosts, state.width * _CANDIDATES)
        scores = _share_out(hypothesis, tokens, scores, state)
        tokens = tokens[np.argsort(-(scores + boosts)[tokens], kind="stable")][: state.width]
    else:
        tokens = _best(scores + boosts, state.width)
    extensions = []
    for token in map(int, tokens):
        node, unfinished = 0, 0.0
        if state.phrases is not None:
            node = state.phrases.advance(hypothesis.node, token)[0]
            unfinished = max(0.0, hypothesis.open + float(boosts[token])) if state.phrases.owed(node) else 0.0
        score, bonus = hypothesis.score + float(scores[token]), hypothesis.bonus + float(boosts[token])
        extensions.append(_Extension(hypothesis, token, score, bonus, unfinished, node, logits))
    return extensions


def _boosts(hypothesis: Hypothesis, scores: _Scores, state: BeamState) -> _Scores:
    """What each token earns, or gives back, by its phrases: float64[vocabulary], in nats."""
    if state.phrases is None:
        return np.zeros(len(scores))
    boosts = state.phrases.scores(hypothesis.node).astype(float)
    room = np.logaddexp.reduce(scores) - scores
    owed = state.phrases.owed(hypothesis.node)
    # What was earned under that limit is less than the trie thinks, so less is given back.
    share = hypothesis.open / owed if owed else 0.0
    limited: _Scores = np.where(boosts > 0, np.minimum(boosts, room), boosts * share)
    return limited


def _best(scores: _Scores, count: int) -> NDArray[np.int64]:
    """Indices of the highest scores, the highest first, and the lower index among equals."""
    count = min(count, len(scores))
    threshold = np.partition(scores, -count)[-count]
    above = np.flatnonzero(scores >= threshold)
    return above[np.argsort(-scores[above], kind="stable")][:count]


def _share_out(hypothesis: Hypothesis, tokens: NDArray[np.int64], scores: _Scores, state: BeamState) -> _Scores:
    """Share the probability of the tokens out among them as the n-gram says."""
    assert state.ngram is not None
    judged = np.array([token for token in tokens if int(token) not in state.tags], np.int64)
    if not len(judged):
        return scores
    opinions = np.array([state.ngram.score(hypothesis.context, int(token)) for token in judged])
    mixed = scores[judged] + state.ngram_weight * opinions
    shared = scores.copy()
    shared[judged] = mixed + np.logaddexp.reduce(scores[judged]) - np.logaddexp.reduce(mixed)
    return shared


def _predict(
    transducer: Transducer,
    chosen: Sequence[tuple[int, _Extension]],
    states: Sequence[BeamState],
    confidence: Confidence,
) -> list[Hypothesis]:
    """Take the extensions that were kept through the prediction net."""
    if not chosen:
        return []
    places = [extension.parent.place for _, extension in chosen]
    tokens = np.array([extension.token for _, extension in chosen], np.int64)
    h, c = (np.stack([getattr(place, name) for place in places], axis=1) for name in ("h", "c"))
    predictions, h, c = transducer.predict(tokens, h, c)
    sure = confidence.of_tokens(np.stack([extension.logits for _, extension in chosen]), tokens)
    hypotheses = []
    for number, (row, extension) in enumerate(chosen):
        state, parent = states[row], extension.parent
        context = parent.context
        if state.ngram is not None and extension.token not in state.tags:
            context = state.ngram.advance(context, extension.token)
        place = SearchState(predictions[number].copy(), h[:, number].copy(), c[:, number].copy())
        tokens_so_far = (*parent.tokens, (extension.token, state.frame, sure[number]))
        hypotheses.append(
            Hypothesis(
                tokens_so_far, extension.score, extension.bonus, place, extension.node, context, extension.open
            )
        )  # fmt: skip
    return hypotheses


def _give_out(state: BeamState) -> tuple[list[tuple[int, int, float]], BeamState]:
    """Take out the tokens that are certain now, with the frames that the best hypothesis has for them."""
    best, *others = state.hypotheses
    late = sum(frame <= state.frame - PATIENCE for _, frame, _ in best.tokens)
    key = best.key
    others = [other for other in others if other.key[:late] == key[:late]]
    certain = len(key)
    for other in others:
        same = zip(key[:certain], other.key, strict=False)
        certain = next((n for n, (ours, theirs) in enumerate(same) if ours != theirs), min(certain, len(other.tokens)))
    kept = tuple(replace(one, tokens=one.tokens[certain:]) for one in (best, *others))
    return list(best.tokens[:certain]), replace(state, hypotheses=kept)


def _log_softmax(logits: Floats) -> _Scores:
    values = logits.astype(np.float64)
    values -= values.max()
    normalised: _Scores = values - np.log(np.exp(values).sum())
    return normalised
