"""Words kept: what is missing of a text, and where."""

import pytest

from legato.lab.kept import Spoken, kept, spoken, total

TAGS = {90: "en-US", 91: "de-DE"}


def text(words: str, *tokens: tuple[int, int], ending: str | None = None) -> Spoken:
    return spoken(words.split(), tokens, TAGS, ending=ending, duration=8.0)


def test_a_tag_names_the_language_of_what_precedes_it() -> None:
    found = text("a b c d", (1, 0), (2, 25), (90, 25), (3, 50), (91, 50), (4, 75), ending="fr-FR")
    assert found.languages == ["en", "en", "de", "fr"]
    assert found.times.tolist() == [0, 2, 4, 6]
    assert found.longest_gap == 2
    assert text("a", (1, 25)).longest_gap == 6  # up to the end of the audio
    assert text("").longest_gap == 8


def test_lost_head_and_tail() -> None:
    complete = text("one two three four five six", *((number, 12 * number) for number in range(6)), ending="en")
    lost = kept(complete, text("two three four five", *((number, 12 * number) for number in range(1, 5)), ending="en"))
    assert lost is not None
    assert (lost.units, lost.complete, lost.first, lost.last) == (4, 6, False, False)
    assert lost.gap == pytest.approx(8 - 4 * 0.96)
    assert lost.complete_gap == pytest.approx(8 - 5 * 0.96)
    other = kept(complete, text("won two three four five sick", (1, 0)))
    assert other is not None
    assert (other.first, other.last) == (True, True)  # another word is not a lost one
    silent = kept(complete, text(""))
    assert silent is not None
    assert (silent.units, silent.first, silent.last, silent.same_language, silent.languages) == (0, False, False, 0, 6)
    assert kept(text(""), complete) is None


def test_drift_to_another_language() -> None:
    complete = text("a b c d", (1, 0), (2, 25), (91, 30), (3, 50), (4, 75), (91, 80))
    drifted = kept(complete, text("a b c d", (1, 0), (2, 25), (91, 30), (3, 50), (4, 75), (90, 80)))
    assert drifted is not None
    assert (drifted.same_language, drifted.languages) == (2, 4)


def test_a_group() -> None:
    complete, half = text("a b c d e f", (1, 0), ending="en"), text("a b c", (1, 0), ending="en")
    found = [one for one in (kept(complete, half), kept(complete, complete), kept(text("a"), text(""))) if one]
    group = total(found)
    assert group is not None
    assert group.share == pytest.approx(9 / 13)
    assert group.lowest == 0.5  # the text of one word is too short to say anything
    assert group.first == pytest.approx(2 / 3)
    assert group.last == pytest.approx(1 / 3)
    assert group.language == 1
    assert total([]) is None
