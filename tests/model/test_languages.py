"""The prompt slot of a language, however its name is written."""

import pytest

import legato
from legato.model.bundle import open_bundle
from legato.model.languages import PromptSlots
from tests.conftest import MakeBundle

PROMPTS = {"en-US": 0, "en-GB": 1, "de-DE": 3, "ja-JP": 10, "ja-JA": 10, "fr": 5, "fr-FR": 6, "auto": 101}


@pytest.mark.parametrize(
    ("language", "slot"),
    [
        ("en-US", 0),
        ("EN_gb", 1),
        ("de", 3),
        ("DE", 3),
        ("JA", 10),
        ("fr", 5),
        ("fr-fr", 6),
        ("auto", 101),
        ("Auto", 101),
    ],
)
def test_a_language_has_a_slot(language: str, slot: int) -> None:
    assert PromptSlots(PROMPTS, "m").slot(language) == slot


@pytest.mark.parametrize(("language", "nearest"), [("en", "en-GB, en-US"), ("ja-XX", "ja-JA, ja-JP"), ("dee", "de-DE")])
def test_an_unknown_language_names_the_nearest(language: str, nearest: str) -> None:
    with pytest.raises(legato.LanguageError, match=f"Unknown language '{language}' for the model m.*{nearest}.*'auto'"):
        PromptSlots(PROMPTS, "m").slot(language)


def test_the_slots_of_a_bundle(make_bundle: MakeBundle) -> None:
    opened = open_bundle(make_bundle("transformers-a"))
    assert {name: opened.prompt_slot(name) for name in opened.prompts} == opened.prompts
    assert "ja" not in opened.prompts
    assert opened.prompt_slot("JA") == opened.prompts["ja-JP"] == opened.prompts["ja-JA"]
    assert opened.prompts["zh-CN"] != opened.prompts["zh-TW"]
    with pytest.raises(legato.LanguageError, match="zh-CN, zh-TW"):
        opened.prompt_slot("zh")
