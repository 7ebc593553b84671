"""Error counts by hand, and against jiwer."""

import jiwer
import pytest

from legato.lab.scoring import Counts, align, count_characters, count_words, distance


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a b c", "a b c", Counts(3, 0, 0, 0)),
        ("a b c", "a x c", Counts(2, 1, 0, 0)),
        ("a b c", "a c", Counts(2, 0, 1, 0)),
        ("a b c", "a b y c", Counts(3, 0, 0, 1)),
        ("a b c", "", Counts(0, 0, 3, 0)),
        ("", "a b", Counts(0, 0, 0, 2)),
    ],
)
def test_words(reference: str, hypothesis: str, expected: Counts) -> None:
    assert count_words(reference, hypothesis) == expected
    if reference:
        assert expected.rate == pytest.approx(jiwer.wer(reference, hypothesis))


def test_characters_by_language() -> None:
    assert count_characters("ab cd", "abcd", "en") == Counts(4, 0, 1, 0)
    assert count_characters("東京 都", "東京都", "ja-JP") == Counts(3, 0, 0, 0)
    assert count_characters("서울 시", "서울시", "ko") == Counts(3, 0, 0, 0)
    assert [span.kind for span in align(["a", "b", "c"], ["a", "x", "c", "d"])] == [
        "equal", "replace", "equal", "insert",
    ]  # fmt: skip


def test_distance_of_any_sequences() -> None:
    assert distance("kitten", "sitting") == 3
    assert distance([1, 2, 3], [1, 3]) == 1
    assert distance((), ("a", "b")) == 2
