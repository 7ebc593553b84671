"""The options of a stream as programs write them."""

from typing import Any

import numpy as np
import pytest

import legato
from legato import SetEndpoint
from legato.options import Endpointing, StreamOptions
from tests.support.numbers_model import NUMBERS_MODEL


@pytest.mark.parametrize("number", [2, 2.0, np.int64(2), np.float32(2), np.float64(2)])
def test_whole_numbers_of_any_type(number: Any) -> None:
    options = StreamOptions(beam=number, chunk_ms=number * 80)
    assert (options.beam, options.chunk_ms) == (2, 160)
    assert (type(options.beam), type(options.chunk_ms)) == (int, int)
    assert options.chunk_frames == 2


@pytest.mark.parametrize("language", [None, "", "auto"])
def test_no_language_is_detected(language: Any) -> None:
    assert StreamOptions(language=language).language == "auto"
    assert StreamOptions.of(StreamOptions(language="en"), language=language).language == "auto"


@pytest.mark.parametrize("chunk_ms", [320.5, "320", None, True, float("nan"), float("inf")])
def test_what_is_no_chunk_size(chunk_ms: Any) -> None:
    with pytest.raises(legato.ChunkSizeError, match="is impossible"):
        _ = StreamOptions(chunk_ms=chunk_ms).chunk_frames


@pytest.mark.parametrize("weight", [2, 2.0, np.float32(2), np.float64(2), np.int64(2)])
def test_weights_of_any_type(weight: Any) -> None:
    legato.load(NUMBERS_MODEL).stream(phrases=[("five", weight)])


def test_options_of_another_type_are_refused() -> None:
    recognizer = legato.load(NUMBERS_MODEL)
    given: Any
    for given in (2.5, "2", None, True):
        with pytest.raises(ValueError, match="beam must be 1 to 64"):
            recognizer.stream(beam=given)
    for given in (5, b"en"):
        with pytest.raises(legato.LanguageError, match="Give its name"):
            recognizer.stream(language=given)
    for given in (5, (5, 2.0), ("five", "2"), ("five", 1.0, 2.0)):
        with pytest.raises(legato.PhraseError, match="neither a text nor a pair"):
            recognizer.stream(phrases=[given])


@pytest.mark.parametrize("endpoint", [True, 0.5, "yes", Endpointing])
def test_endpoint_rules_of_another_type_are_refused(endpoint: Any) -> None:
    for refused in (lambda: StreamOptions(endpoint=endpoint), lambda: SetEndpoint(endpoint)):
        with pytest.raises(TypeError, match=r"endpoint must be legato.Endpointing\(\) or None, not "):
            refused()


def test_options_and_controls_of_another_type_are_refused() -> None:
    recognizer = legato.load(NUMBERS_MODEL)
    wrong: Any = "en"
    with pytest.raises(TypeError, match=r"options are .*StreamOptions or keywords such as language='en', not 'en'"):
        recognizer.stream(wrong)
    with recognizer.stream() as stream:
        for control in ("commit", None):
            with pytest.raises(TypeError, match="a control is Commit"):
                stream.apply(control)  # type: ignore[arg-type]
