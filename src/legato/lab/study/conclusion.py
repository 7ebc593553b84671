"""Sentences on where the loss comes from, computed from the figures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from legato.convert.quantize import DEFAULT_RECIPE, RECIPES
from legato.lab.study.figures import Change, Figures, change, rate
from legato.lab.study.report import label
from legato.lab.study.results import Outcome, Study
from legato.lab.study.variants import GROUPS

#: If the sum of the parts over the whole is within these bounds, the parts are reported as shares of it.
_ADDS_UP = (0.8, 1.25)


@dataclass(frozen=True)
class _Loss:
    """A measure of loss that is additive over independent errors.

    Attributes:
        name: name in the sentences.
        of: returns its size. Squares and divergences of independent errors are additive, plain errors are not.
    """

    name: str
    of: Callable[[Figures], float]


_LOSSES = (
    _Loss("squared error of the encoder's frames", lambda found: found.encoder_error**2),
    _Loss("divergence at the joint's output", lambda found: found.divergence),
)


def conclude(study: Study) -> list[str]:
    """Return one sentence per finding; what was not measured is not mentioned."""
    sentences = [*_advice(study), *_recipes(study), *_kept(study)]
    for recipe in study.recipes:
        sentences += _whole(study, recipe)
        for loss in _LOSSES:
            sentences += _groups(study, recipe, loss)
        sentences += _layers(study, recipe)
    return sentences


def _recipes(study: Study) -> Iterator[str]:
    every = {outcome.variant.recipe: study.figures(outcome) for outcome in study.of("recipes")}
    figures = {name: every[name] for name in every if name in RECIPES}  # what `legato convert --recipe` takes
    if not figures:
        return
    best = min(figures, key=lambda name: figures[name].encoder_error)
    worst = max(figures, key=lambda name: figures[name].encoder_error)
    yield (
        f"Whole models: the frames of `{best}` are nearest to those of FP32 (error "
        f"{_percent(figures[best].encoder_error)}), those of `{worst}` are farthest away "
        f"({_percent(figures[worst].encoder_error)})."
    )
    plain = [name for name in ("per-tensor", "dynamic-per-tensor", "per-token") if name in every]
    if len(plain) == 3:
        errors = [_percent(every[name].encoder_error) for name in plain]
        yield (
            f"Plain dynamic INT8: {errors[0]} with one scale per weight, {errors[1]} with one scale per output channel "
            f"(`dynamic-per-tensor`), {errors[2]} if every frame has its own activation scale as well (`per-token`)."
        )
    certain = [name for name, found in figures.items() if not found.wer_difference.is_noise]
    if certain:
        named = ", ".join(f"`{name}` {_interval(figures[name].wer_difference)}" for name in certain)
        yield f"The WER differs from that of FP32 by more than noise for {named}; the other intervals contain zero."
    else:
        yield f"No recipe's WER differs from that of FP32 by more than noise ({len(study.fp32)} utterances)."
    unchanged = [name for name, found in figures.items() if found.exact == 1]
    if unchanged:
        # Rule of three: an event that was not observed in n trials has a rate below 3 / n, with 95 % confidence.
        unseen = min(1.0, 3 / len(study.fp32))
        yield (
            f"All tokens are those of FP32 with {', '.join(f'`{name}`' for name in unchanged)}. {len(study.fp32)} "
            f"utterances cannot show changes that occur in fewer than {_share(unseen)} of all utterances."
        )


def _advice(study: Study) -> Iterator[str]:
    """Yield whether the default recipe is the one to choose: whether another one changes fewer tokens."""
    outcomes = {outcome.variant.recipe: outcome for outcome in study.of("recipes") if outcome.variant.recipe in RECIPES}
    if not outcomes:
        return
    edits = {
        name: np.array([deviation.token_edits for deviation in outcome.deviations], np.float64)
        for name, outcome in outcomes.items()
    }
    lengths = np.array([len(result.tokens) for result in study.fp32], np.float64)
    best = min(edits, key=lambda name: (edits[name].sum(), study.figures(outcomes[name]).encoder_error))
    choose = f"Choose `{best}` for this model (`legato convert --recipe {best}`: {RECIPES[best].summary})"
    if DEFAULT_RECIPE not in edits:
        yield f"The default recipe, `{DEFAULT_RECIPE}`, is not possible for this model. {choose}."
        return
    difference = change(edits[DEFAULT_RECIPE], edits[best], lengths, study.seed)
    shares = {name: _percent(rate(edits[name], lengths)) for name in (DEFAULT_RECIPE, best)}
    if difference.low > 0:
        yield (
            f"The default recipe, `{DEFAULT_RECIPE}`, is not the best one for this model. {choose}: {shares[best]} of "
            f"the tokens differ from FP32's instead of {shares[DEFAULT_RECIPE]}, a difference of "
            f"{_interval(difference)}."
        )
    else:
        yield (
            f"The default recipe, `{DEFAULT_RECIPE}`, is right for this model: {shares[DEFAULT_RECIPE]} of the tokens "
            f"differ from FP32's, and no other recipe has fewer by more than noise (`{best}`: {shares[best]})."
        )


def _kept(study: Study) -> Iterator[str]:
    """Yield which recipe loses the most words."""
    outcomes = [outcome for outcome in study.of("recipes") if outcome.variant.recipe in RECIPES]
    found = {outcome.variant.recipe: kept for outcome in outcomes if (kept := study.figures(outcome).kept)}
    if not found:
        return
    least = min(found, key=lambda name: found[name].share)
    kept = found[least]
    lowest = "" if kept.lowest is None else f", {_share(kept.lowest)} in the worst utterance"
    language = "" if kept.language is None else f"; the language is FP32's for {_share(kept.language)} of the tokens"
    yield (
        f"Words kept: the fewest with `{least}`, {100 * kept.share:.1f} % of FP32's{lowest}, the first word in "
        f"{_share(kept.first)} and the last in {_share(kept.last)} of the utterances; its longest stretch without text "
        f"has {kept.gap:.1f} s, FP32's {kept.complete_gap:.1f} s{language}."
    )


def _whole(study: Study, recipe: str) -> Iterator[str]:
    for outcome in study.of("everything", recipe):
        found = study.figures(outcome)
        noise = "within the noise" if found.wer_difference.is_noise else "more than the noise"
        others = sum(deviation.token_edits > 0 for deviation in outcome.deviations)
        change = f"{_interval(found.wer_difference)}: {noise} of" if found.exact < 1 else "the same text in each of"
        yield (
            f"`{recipe}` everywhere, prediction net and joint included: encoder error "
            f"{_percent(found.encoder_error)}, other tokens than those of FP32 in {others} of {len(study.fp32)} "
            f"utterances; WER {_percent(study.wer)} -> {_percent(found.wer)}, {change} {len(study.fp32)} utterances."
        )


def _groups(study: Study, recipe: str, loss: _Loss) -> Iterator[str]:
    """Yield where one kind of loss comes from, and what is saved by leaving a group in FP32."""
    whole, left = study.of("everything", recipe), study.of("left", recipe)
    parts = {label(outcome): _size(study, outcome, loss) for outcome in study.of("alone", recipe)}
    if not whole or not parts:
        return
    total, together = sum(parts.values()), _size(study, whole[0], loss)
    if not total or not together:
        yield f"`{recipe}`: there is no {loss.name}."
        return
    first, *others = sorted((name for name in parts if parts[name]), key=lambda name: -parts[name])
    rest = ", ".join(f"{name} {_share(parts[name] / total)}" for name in others)
    then = f"; then {rest}" if rest else ""
    missing = f" ({len(GROUPS) - len(parts)} groups could not be made)" if len(parts) < len(GROUPS) else ""
    yield (
        f"`{recipe}`: the largest part of the {loss.name} comes from the {first}: {_share(parts[first] / total)} of "
        f"the sum of the groups, each alone in INT8{then}{missing}. {_caveat(total / together)}"
    )
    if left:
        best = min(left, key=lambda outcome: _size(study, outcome, loss))
        gain = 1 - _size(study, best, loss) / together
        if gain > 0:
            yield f"`{recipe}`: leaving the {label(best)} in FP32 saves most of it, {_share(gain)} of the total."


def _caveat(sum_of_parts: float) -> str:
    """Return how the shares are to be read, given the sum of the groups over the whole."""
    text = f"The groups add up to {_share(sum_of_parts)} of the total, so "
    if _ADDS_UP[0] <= sum_of_parts <= _ADDS_UP[1]:
        return f"{text}these are shares of the loss."
    return f"{text}they interact: read this as a ranking, not as shares of the loss."


def _layers(study: Study, recipe: str) -> Iterator[str]:
    errors = {outcome.variant.layer: _size(study, outcome, _LOSSES[0]) for outcome in study.of("layers", recipe)}
    total = sum(errors.values())
    if len(errors) < 2 or not total:
        return
    ordered = sorted(errors, key=lambda layer: -errors[layer])
    top = ordered[: max(1, len(errors) // 4)]
    share, even = sum(errors[layer] for layer in top) / total, len(top) / len(errors)
    layers = f"layer {top[0]} has" if len(top) == 1 else f"layers {', '.join(map(str, top))} have"
    least = _share(errors[ordered[-1]] / total)
    yield (
        f"`{recipe}`: of the squared error of {len(errors)} layers, each alone in INT8, {layers} {_share(share)}, "
        f"where an even spread would give {_share(even)}; layer {ordered[-1]} has the least, {least}."
    )


def _size(study: Study, outcome: Outcome, loss: _Loss) -> float:
    return loss.of(study.figures(outcome))


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if value > 0.02 else f"{100 * value:.1f} %"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _interval(interval: Change) -> str:
    values = (f"{100 * value:+.2f}" for value in (interval.value, interval.low, interval.high))
    return "{} points (95 % interval {} to {})".format(*values)
