"""Training of the small model: long recordings cut to utterances whose text is known."""

import random

import numpy as np
import pytest

pytest.importorskip("numba", reason="training/small/requirements.txt is not installed")

from training.common.audio import SAMPLE_RATE, Audio
from training.small.aligned import pauses, utterances
from training.small.languages import write
from training.small.verse import Spelling, clauses

POEM = """L'ALBATROS

  Souvent, pour s'amuser, les hommes d'équipage
  Prennent des albatros, vastes oiseaux des mers!

  A peine les ont-ils déposés sur le Pont,
  Que Paul eut mal au coeur.
"""
SPELLING = Spelling(["Ils prennent le pont.", "Car que dit Paul?", "Il est à Paris."])


def test_verse_becomes_sentences() -> None:
    assert clauses(POEM, SPELLING) == [
        "Souvent,",
        "pour s'amuser,",
        "les hommes d'équipage",
        "prennent des albatros,",
        "vastes oiseaux des mers!",
        "À peine les ont-ils déposés sur le pont,",
        "que Paul eut mal au cœur.",
    ]


def recording(spoken: list[tuple[float, float]]) -> Audio:
    """Return noise as loud as speech at the times given, and quiet noise around."""
    rng = np.random.default_rng(1)
    audio = 0.001 * rng.standard_normal(int(SAMPLE_RATE * (spoken[-1][1] + 1)))
    for start, end in spoken:
        audio[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)] *= 200
    return audio.astype(np.float32)


def test_a_poem_is_cut_at_its_pauses_and_the_introduction_is_left_out() -> None:
    said = [  # the times that Whisper gives are a little off
        (0.0, 2.0, "L'albatros enregistré pour LibriVox"),
        (3.1, 4.9, "Souvent pour s'amusé les hommes d'équipage"),
        (5.6, 7.9, "prenne des albatros vaste oiseau des mers"),
        (8.6, 10.6, "à peine les ont il déposé sur le pont"),
        (10.5, 12.0, "que Paul eu mal au coeur"),
        (13.0, 14.0, "fin du poème"),
    ]
    audio = recording([(0.0, 2.0), (3.0, 5.0), (5.5, 8.0), (8.5, 10.4), (10.6, 12.1), (13.0, 14.0)])
    words = [
        (start + (end - start) * i / len(text.split()), start + (end - start) * (i + 1) / len(text.split()), word)
        for start, end, text in said
        for i, word in enumerate(text.split())
    ]
    found = list(utterances(clauses(POEM, SPELLING), words, pauses(audio), random.Random(4)))
    texts = [write(utterance.text, "fr") for utterance in found]
    assert " ".join(utterance.text for utterance in found) == " ".join(clauses(POEM, SPELLING))
    assert texts[0] is not None and texts[0].startswith("Souvent, pour s'amuser, les hommes d'équipage")
    edges = {3.0, 5.5, 8.5, 10.6}
    for utterance in found:
        assert min(abs(utterance.start - edge) for edge in edges) < 0.05
        assert 0 < utterance.errors < 0.25
    assert found[0].start == pytest.approx(3.0, abs=0.05)
    assert found[-1].end == pytest.approx(12.1, abs=0.05)


def test_what_is_said_otherwise_is_known_by_its_errors() -> None:
    audio = recording([(1.0, 3.0), (3.5, 5.5)])
    words = [(1.0, 3.0, "souventpoursamuserleshommesdéquipage"), (3.5, 5.5, "prennenttoutautrechose")]
    parts = ["Souvent, pour s'amuser, les hommes d'équipage", "prennent des oiseaux de mer."]
    found = list(utterances(parts, words, pauses(audio), random.Random(1)))
    assert found[0].errors < 0.1  # the apostrophes
    assert all(utterance.errors > 0.25 for utterance in found[1:])


def test_the_phones_of_a_known_text_are_found_in_time() -> None:
    pytest.importorskip("phonemizer", reason="training/small/requirements.txt is not installed")
    pytest.importorskip("torch", reason="training/small/requirements.txt is not installed")
    from training.small.batches import PHONE_BLANK
    from training.small.phones import CLASSES, phones
    from training.small.place import LATE_END, LATE_START, RATE, place

    before, texts = ["les chats"], ["bonjour madame", "merci beaucoup"]
    steps, starts = [PHONE_BLANK] * 30, []
    for part in phones([*before, *texts], "fr"):
        starts.append(len(steps))
        steps += [step for phone in part for step in (CLASSES[phone], PHONE_BLANK)] + [PHONE_BLANK] * 30
    scores = np.full((len(steps), PHONE_BLANK + 1), -8.0, np.float32)
    scores[np.arange(len(steps)), steps] = -0.1
    placed = list(place(scores, before, texts))
    assert [text for *_, text in placed] == texts
    for (start, end, _), first in zip(placed, starts[1:], strict=True):
        assert start == pytest.approx(first / RATE - LATE_START)
        assert start < end + LATE_END - LATE_START < start + 1.5
