"""Normalizers: Whisper's, with vowel signs kept, and that of the study."""

from legato.lab.normalize import LETTERS, Choice, normalizer


def test_normalizers() -> None:
    assert normalizer("en-US")("Mr. Smith, it's twenty-one colours!") == "mister smith it is 21 colors"
    assert normalizer("de-DE")("Straße, (leise) Öl!") == "straße öl"
    assert normalizer("hi-IN")("हिन्दी।") == "हिन्दी"  # Whisper's own tears it apart at each vowel sign
    assert normalizer("hi-IN", Choice.WHISPER)("हिन्दी।") != "हिन्दी"
    assert normalizer("en", Choice.NONE)("As  it is.") == "As it is."


def test_texts_of_a_study_are_compared_by_letters() -> None:
    assert LETTERS("It\u2019s  \u201cTwenty-One\u201d, Stra\u00dfe!") == "it's twenty one strasse"
    assert LETTERS("\u0939\u093f\u0928\u094d\u0926\u0940\u0964") == "\u0939\u093f\u0928\u094d\u0926\u0940"
