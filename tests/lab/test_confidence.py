"""What confidences are worth, and maps that make probabilities of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legato.errors import EvaluationError
from legato.lab.calibration import fit
from legato.lab.confidence import Judged, describe, judge
from legato.lab.normalize import Choice, normalizer
from legato.model.calibration import Calibration


def judged(*words: tuple[float, bool]) -> Judged:
    return Judged(np.array([word[0] for word in words]), np.array([word[1] for word in words]))


def sentences(count: int, probability: str, seed: int = 0) -> list[Judged]:
    """Sentences of ten words whose confidences are right as often as a formula says."""
    random = np.random.default_rng(seed)
    confidences = random.beta(4, 1, (count, 10)).round(4).clip(0.001, 0.999)
    logits = np.log(confidences / (1 - confidences))
    share = {"half the logit": 1 / (1 + np.exp(-logits / 2)), "a step": np.where(confidences > 0.8, 0.9, 0.3)}
    right = random.random((count, 10)) < share[probability]
    return [Judged(row, hit) for row, hit in zip(confidences, right, strict=True)]


def test_figures_are_those_counted_by_hand() -> None:
    found = describe(judged((0.95, True), (0.97, False), (0.99, True), (0.99, True), (0.52, True), (0.5, False)))
    assert found is not None
    assert (found["words"], found["right"]) == (6, pytest.approx(4 / 6))
    middle, top = found["bins"]
    assert (middle["words"], middle["confidence"], middle["right"]) == (2, pytest.approx(0.51), 0.5)
    assert (top["words"], top["confidence"], top["right"]) == (4, pytest.approx(0.975), 0.75)
    assert found["ece"] == pytest.approx((2 * 0.01 + 4 * 0.225) / 6)
    loss = -sum(map(math.log, (0.95, 1 - 0.97, 0.99, 0.99, 0.52, 0.5))) / 6
    assert found["log_loss"] == pytest.approx(loss)
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert found["nce"] == pytest.approx(1 - loss / entropy)
    [kept] = [each for each in found["kept"] if each["threshold"] == 0.6]
    assert (kept["kept"], kept["wrong"], kept["wrong_below"]) == (pytest.approx(4 / 6), 0.25, 0.5)
    assert describe(judged()) is None


def test_a_word_is_right_if_it_is_in_its_place() -> None:
    pytest.importorskip("whisper_normalizer", reason="the extra 'evaluate' is not installed")
    english = normalizer("en", Choice.AUTO)
    said = [("Um,", 0.1), ("we're", 0.9), ("the", 0.8), ("Colour", 0.7), ("of", 0.6), ("wheat.", 0.5)]
    found = judge(said, "We are the color off wheat, man.", english, "en")
    assert found.confidences.tolist() == [0.9, 0.8, 0.7, 0.6, 0.5]  # the filler is left out
    assert found.right.tolist() == [True, True, True, False, True]
    japanese = judge([(each, 0.5) for each in "ねこだ。"], "ねこ だよ", normalizer("ja"), "ja")
    assert japanese.right.tolist() == [True, True, True]


def test_a_temperature_is_found_again() -> None:
    fitted = fit(sentences(2000, "half the logit"), "temperature")
    assert fitted.calibration.temperature == pytest.approx(2, rel=0.05)
    assert fitted.held_out["ece"] < 0.01
    assert fitted.raw["ece"] > 0.05


@pytest.mark.parametrize("seed", range(3))
def test_the_better_map_is_chosen_and_predicts_other_words(seed: int) -> None:
    fitted, other = fit(sentences(1000, "a step", seed)), Judged.join(sentences(1000, "a step", seed + 100))
    assert fitted.calibration.method == "isotonic"
    assert fitted.losses["isotonic"] < fitted.losses["temperature"]
    figures = describe(Judged(fitted.calibration.probabilities(other.confidences), other.right))
    assert figures is not None
    assert figures["ece"] < 0.03 < fitted.raw["ece"]
    assert fitted.held_out["ece"] < fitted.raw["ece"] / 2
    marks = fitted.calibration.marks(calibrated=False)
    assert marks.unsure == pytest.approx(0.8, abs=0.03)
    assert marks.doubtful == pytest.approx(0.8, abs=0.03)
    assert fitted.calibration(marks.unsure) >= 0.5 > fitted.calibration(marks.unsure - 1e-4)


def test_isotonic_shares_are_those_of_the_least_squares() -> None:
    """Against the formula for isotonic regression: the largest of the smallest means of all ranges around a place."""
    random = np.random.default_rng(1)
    confidences = np.repeat(np.linspace(0.1, 0.9, 9), 20)  # nine groups
    right = random.random(180) < 0.5
    fitted = fit([Judged(confidences, right)] * 2, "isotonic").calibration  # the same words twice
    shares = [(2 * right[confidences == each].sum() + 0.5) / 41 for each in np.unique(confidences)]
    wanted = [
        max(min(np.mean(shares[low : high + 1]) for high in range(place, 9)) for low in range(place + 1))
        for place in range(9)
    ]
    # Within a pool the map goes through its center, and all pools have their share there.
    pools = {round(share, 4) for share in wanted}
    assert {round(probability, 4) for _, probability in fitted.points} == pools


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 1).map(lambda x: round(x, 4)), st.booleans()), min_size=100, max_size=400),
    st.sampled_from(["temperature", "isotonic"]),
)
def test_every_map_is_monotonic_and_a_probability(words: list[tuple[float, bool]], method: str) -> None:
    halves = [judged(*words[::2]), judged(*words[1::2])]
    try:
        calibration: Calibration = fit(halves, method).calibration  # type: ignore[arg-type]
    except EvaluationError as error:
        assert "10 right and 10 wrong" in str(error)  # not all lists have that
        return
    found = calibration.probabilities(np.linspace(0, 1, 10_001))
    assert (np.diff(found) >= 0).all()
    assert 0 < found[0] <= found[-1] <= 1


def test_too_few_words_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"at least 100 recognized words.*have 20"):
        fit(sentences(2, "a step"))
