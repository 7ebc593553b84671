"""RNN-T beam search over the rows of a batch, frame by frame.

Every hypothesis may emit up to `max_symbols` tokens per frame, as in greedy search. Hypotheses with the same tokens are
merged, and their probabilities are added. With a beam of 1, no phrases and no n-gram this is greedy search.

Phrases add their boost to the log-probability by which hypotheses are compared, but never more than makes a token as
likely as all tokens together: they decide which token is emitted, not whether one is. An n-gram redistributes, among
the likeliest tokens, the probability that the model gives to all of them together. Blank keeps its own probability, so
a language model neither deletes nor inserts.

A token is released as soon as all hypotheses agree on it, frame by frame and not call by call, so the result does not
depend on how the frames are divided into calls. A token on which they still differ after `PATIENCE` frames is decided
by the best hypothesis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from legato.decode.beam_state import BeamState, Hypothesis
from legato.decode.confidence import token_scores
from legato.decode.greedy import Emission, GreedyState
from legato.decode.numerics import log_softmax
from legato.decode.transducer import Transducer
from legato.types import Confidence, Floats

#: Frames after which a token is released at the latest (2 s).
PATIENCE = 25
MAX_BEAM = 64
#: Tokens per hypothesis of the beam among which an n-gram decides.
_CANDIDATES = 4

_CONFIDENCE = Confidence()
_Scores = NDArray[np.float64]


def beam_search(
    transducer: Transducer,
    rows: Sequence[Floats],
    states: Sequence[BeamState],
    max_symbols: int,
    confidence: Confidence = _CONFIDENCE,
) -> list[tuple[list[Emission], BeamState]]:
    """Decode the next frames of several streams; arguments as for `greedy_search`.

    Returns:
        Per stream the emissions that became certain, in order, and its next state. The frame of an emission from before
        this call is negative.
    """
    emissions: list[list[Emission]] = [[] for _ in rows]
    current = list(states)
    for frame in range(max(map(len, rows), default=0)):
        here = [number for number, row in enumerate(rows) if frame < len(row)]
        found = _frame(transducer, [rows[n][frame] for n in here], [current[n] for n in here], max_symbols, confidence)
        for number, hypotheses in zip(here, found, strict=True):
            released, state = _release(replace(current[number], hypotheses=hypotheses))
            emissions[number] += _relative(released, states[number].frame)
            current[number] = replace(state, frame=state.frame + 1)
    return list(zip(emissions, current, strict=True))


def end_beam(state: BeamState) -> tuple[list[Emission], BeamState]:
    """Decide for the best hypothesis: return its open tokens, whose frames count from the next one (negative)."""
    best = max(state.hypotheses, key=lambda one: one.rank - one.open)
    return _relative(best.tokens, state.frame), replace(state, hypotheses=(replace(best, tokens=()),))


def _relative(emissions: Sequence[Emission], start: int) -> list[Emission]:
    """Count the frames of emissions from frame `start` of the stream."""
    return [replace(emission, frame=emission.frame - start) for emission in emissions]


@dataclass(frozen=True)
class _Extension:
    """A hypothesis with one more token, before the prediction net has processed that token."""

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
    """Return the hypotheses of every row after one frame, the best first; frames float32[width] each."""
    active = [list(state.hypotheses) for state in states]
    # Hypotheses that are done with this frame, by the ids of their tokens.
    done: list[dict[tuple[int, ...], Hypothesis]] = [{} for _ in states]
    for _ in range(max_symbols):
        flat = [(row, hypothesis) for row, many in enumerate(active) for hypothesis in many]
        if not flat:
            break
        predictions = np.stack([hypothesis.net.prediction for _, hypothesis in flat])
        logits = transducer.join(np.stack([frames[row] for row, _ in flat])[:, None], predictions)[:, 0]
        chosen: list[tuple[int, _Extension]] = []
        first = 0
        for row, state in enumerate(states):
            many, active[row] = active[row], []
            if not many:
                continue
            extensions = []
            for hypothesis, values in zip(many, logits[first : first + len(many)], strict=True):
                scores = log_softmax(values)
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
        for hypothesis in many:  # these have emitted as many tokens as a frame may
            _settle(done[row], hypothesis)
    return [tuple(sorted(row.values(), key=lambda one: -one.rank)) for row in done]


def _settle(done: dict[tuple[int, ...], Hypothesis], new: Hypothesis) -> None:
    """Add a hypothesis that is done with the frame, or add its probability to that of its equal."""
    key = new.key
    known = done.get(key)
    if known is not None:
        likelier = known if known.score >= new.score else new
        new = replace(likelier, score=float(np.logaddexp(known.score, new.score)))
    done[key] = new


def _extend(hypothesis: Hypothesis, scores: _Scores, logits: Floats, state: BeamState) -> list[_Extension]:
    """Return the best extensions of a hypothesis.

    Args:
        hypothesis: the hypothesis to extend.
        scores: float64[vocabulary], the model's log-probabilities.
        logits: float32[vocabulary + 1], from which they were computed.
        state: the state of its stream.
    """
    boosts = _boosts(hypothesis, scores, state)
    if state.ngram is not None:
        tokens = _best(scores + boosts, state.width * _CANDIDATES)
        scores = _redistribute(hypothesis, tokens, scores, state)
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
    """Return what each token earns, or gives back, by its phrases: float64[vocabulary], in nats."""
    if state.phrases is None:
        return np.zeros(len(scores))
    boosts = state.phrases.scores(hypothesis.node).astype(float)
    room = np.logaddexp.reduce(scores) - scores
    owed = state.phrases.owed(hypothesis.node)
    # Under that limit less was earned than the trie assumes, so less is given back.
    share = hypothesis.open / owed if owed else 0.0
    limited: _Scores = np.where(boosts > 0, np.minimum(boosts, room), boosts * share)
    return limited


def _best(scores: _Scores, count: int) -> NDArray[np.int64]:
    """Return the indices of the highest scores, the highest first, and the lower index first among equals."""
    count = min(count, len(scores))
    threshold = np.partition(scores, -count)[-count]
    above = np.flatnonzero(scores >= threshold)
    return above[np.argsort(-scores[above], kind="stable")][:count]


def _redistribute(hypothesis: Hypothesis, tokens: NDArray[np.int64], scores: _Scores, state: BeamState) -> _Scores:
    """Redistribute the probability of the tokens among them by the n-gram."""
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
    """Run the prediction net on the extensions that were kept."""
    if not chosen:
        return []
    nets = [extension.parent.net for _, extension in chosen]
    tokens = np.array([extension.token for _, extension in chosen], np.int64)
    h, c = (np.stack([getattr(net, name) for net in nets], axis=1) for name in ("h", "c"))
    predictions, h, c = transducer.predict(tokens, h, c)
    certainties, logprobs = token_scores(confidence, np.stack([extension.logits for _, extension in chosen]), tokens)
    hypotheses = []
    for number, (row, extension) in enumerate(chosen):
        state, parent = states[row], extension.parent
        context = parent.context
        if state.ngram is not None and extension.token not in state.tags:
            context = state.ngram.advance(context, extension.token)
        net = GreedyState(predictions[number].copy(), h[:, number].copy(), c[:, number].copy())
        emission = Emission(extension.token, state.frame, certainties[number], logprobs[number])
        emitted = (*parent.tokens, emission)
        hypotheses.append(
            Hypothesis(emitted, extension.score, extension.bonus, net, extension.node, context, extension.open)
        )
    return hypotheses


def _release(state: BeamState) -> tuple[list[Emission], BeamState]:
    """Remove the tokens that are certain now, and return them with the frames of the best hypothesis."""
    best, *others = state.hypotheses
    late = sum(emission.frame <= state.frame - PATIENCE for emission in best.tokens)
    key = best.key
    others = [other for other in others if other.key[:late] == key[:late]]
    certain = len(key)
    for other in others:
        same = zip(key[:certain], other.key, strict=False)
        certain = next((n for n, (ours, theirs) in enumerate(same) if ours != theirs), min(certain, len(other.tokens)))
    kept = tuple(replace(one, tokens=one.tokens[certain:]) for one in (best, *others))
    return list(best.tokens[:certain]), replace(state, hypotheses=kept)
