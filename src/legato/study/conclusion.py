"""Where the loss comes from, in words computed from the figures."""

from collections.abc import Callable, Iterator

from legato.study.report import label
from legato.study.results import Outcome, Study
from legato.study.score import Figures, Interval

#: Parts that add up to the whole within this are taken for parts of it.
_ADDS_UP = (0.8, 1.25)


def conclude(study: Study) -> list[str]:
    """Sentences; they say nothing about what was not measured."""
    sentences = [*_recipes(study)]
    for recipe in study.recipes:
        sentences += [*_whole(study, recipe), *_groups(study, recipe), *_left(study, recipe), *_layers(study, recipe)]
    return sentences


def _recipes(study: Study) -> Iterator[str]:
    figures = {outcome.variant.recipe: study.figures(outcome) for outcome in study.of("recipes")}
    if not figures:
        return
    best = min(figures, key=lambda name: figures[name].encoder_error)
    worst = max(figures, key=lambda name: figures[name].encoder_error)
    yield (
        f"Whole models: the frames of `{best}` are nearest to FP32's (error {_percent(figures[best].encoder_error)}), "
        f"those of `{worst}` farthest ({_percent(figures[worst].encoder_error)})."
    )
    plain = [name for name in ("per-tensor", "reference", "per-row") if name in figures]
    if len(plain) == 3:
        errors = [_percent(figures[name].encoder_error) for name in plain]
        yield (
            f"Plain dynamic INT8: {errors[0]} with a scale a weight, {errors[1]} with a scale an output channel "
            f"(`reference`), {errors[2]} when every frame has its own activation scale too (`per-row`)."
        )
    certain = [name for name, found in figures.items() if not found.wer_difference.is_noise]
    if certain:
        named = ", ".join(f"`{name}` {_interval(figures[name].wer_difference)}" for name in certain)
        yield f"Word errors differ from FP32's by more than noise for {named}; for the others the interval holds zero."
    else:
        yield f"No recipe's word error rate differs from FP32's by more than noise ({len(study.heard)} utterances)."


def _whole(study: Study, recipe: str) -> Iterator[str]:
    for outcome in study.of("everything", recipe):
        found = study.figures(outcome)
        noise = "within the noise of" if found.wer_difference.is_noise else "more than the noise of"
        agreement = f"{_percent(found.token_agreement)} of the tokens as FP32"
        yield (
            f"`{recipe}` everywhere, prediction net and joint too: encoder error {_percent(found.encoder_error)}, "
            f"{agreement}; WER {_percent(study.wer)} -> {_percent(found.wer)}, "
            f"{_interval(found.wer_difference)}: {noise} {len(study.heard)} utterances."
        )


def _groups(study: Study, recipe: str) -> Iterator[str]:
    whole, alone = study.of("everything", recipe), study.of("alone", recipe)
    if not whole:
        return
    yield from _shares(study, recipe, alone, whole[0], "squared error of the encoder's frames", _squared_error)
    yield from _shares(study, recipe, alone, whole[0], "divergence at the joint's output", _divergence)


def _shares(
    study: Study, recipe: str, alone: list[Outcome], whole: Outcome, what: str, measure: Callable[[Figures], float]
) -> Iterator[str]:
    parts = {label(outcome): measure(study.figures(outcome)) for outcome in alone}
    total, together = sum(parts.values()), measure(study.figures(whole))
    if not total or not together:
        yield f"`{recipe}`: there is no {what} at all."
        return
    ordered = sorted(parts, key=lambda name: -parts[name])
    shares = ", ".join(f"{parts[name] / total:.0%} {name}" for name in ordered if parts[name])
    sum_of_parts = total / together
    if _ADDS_UP[0] <= sum_of_parts <= _ADDS_UP[1]:
        caveat = f"the groups add up to {sum_of_parts:.0%} of the whole's, so these are shares of the loss"
    else:
        caveat = (
            f"the groups add up to {sum_of_parts:.0%} of the whole's, so they act on each other: read this as a "
            "ranking, not as shares of the loss"
        )
    missing = "" if len(parts) == 7 else f" ({7 - len(parts)} groups could not be made)"
    yield f"`{recipe}`: of the {what}, each group alone in INT8: {shares}{missing}; {caveat}."


def _left(study: Study, recipe: str) -> Iterator[str]:
    whole, left = study.of("everything", recipe), study.of("left", recipe)
    if not whole or not left:
        return
    together = study.figures(whole[0])
    for what, measure in (("squared error of the frames", _squared_error), ("divergence", _divergence)):
        if not measure(together):
            continue
        best = min(left, key=lambda outcome: measure(study.figures(outcome)))
        gain = 1 - measure(study.figures(best)) / measure(together)
        yield f"`{recipe}`: leaving one group in FP32 lowers the {what} most for the {label(best)}: by {gain:.0%}."


def _layers(study: Study, recipe: str) -> Iterator[str]:
    errors = {
        outcome.variant.layer: study.figures(outcome).encoder_error ** 2 for outcome in study.of("layers", recipe)
    }
    total = sum(errors.values())
    if len(errors) < 2 or not total:
        return
    ordered = sorted(errors, key=lambda layer: -errors[layer])
    top = ordered[: max(1, len(errors) // 4)]
    share, even = sum(errors[layer] for layer in top) / total, len(top) / len(errors)
    layers = f"layer {top[0]} has" if len(top) == 1 else f"layers {', '.join(map(str, top))} have"
    yield (
        f"`{recipe}`: of the squared error of {len(errors)} layers, each alone in INT8, {layers} {share:.0%}, where an "
        f"even spread would be {even:.0%}; layer {ordered[-1]} has least, {errors[ordered[-1]] / total:.1%}."
    )


def _squared_error(found: Figures) -> float:
    return found.encoder_error**2


def _divergence(found: Figures) -> float:
    return found.divergence


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _interval(interval: Interval) -> str:
    values = (f"{100 * value:+.2f}" for value in (interval.value, interval.low, interval.high))
    return "{} points (95 % interval {} to {})".format(*values)
