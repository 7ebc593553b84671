"""The prompt slot of a language, however its name is written."""

import pytest

import legato
from legato.model.bundle import open_bundle
from legato.model.languages import PromptSlots, english_name
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
        ("en", 0),
        ("fr-BE", 5),
        ("ja-XX", 10),
        ("fr-fr", 6),
        ("auto", 101),
        ("Auto", 101),
    ],
)
def test_a_language_has_a_slot(language: str, slot: int) -> None:
    assert PromptSlots(PROMPTS, "m").slot(language) == slot


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("de-AT", "de"), ("de_CH", "de"), ("de-DE-1996", "de-DE"), ("German", "de"), ("en-AU", "en"), ("ENGLISH", "en"),
        ("en-US-x-twain", "en-US"), ("es-419", "es-US"), ("es-MX", "es"), ("nl-BE", "nl"), ("flemish", "nl"),
        ("zh", "zh-CN"), ("zh-Hans", "zh-CN"), ("zh-Hans-HK", "zh-CN"), ("cmn-Hans-CN", "zh-CN"), ("zh-SG", "zh-CN"),
        ("zh-Hant", "zh-TW"), ("zh-Hant-HK", "zh-TW"), ("zh-HK", "zh-TW"), ("zh_TW", "zh-TW"), ("chinese", "zh-CN"),
        ("ja", "ja"), ("iw", "he"), ("hebrew", "he"), ("pt-AO", "pt"), ("fr-BE", "fr"), ("sr", None),
        ("klingon", None), ("", None), ("x", None), ("-", None),
    ],
)  # fmt: skip
def test_look_up(recognizer: legato.Recognizer, language: str, name: str | None) -> None:
    bundle = recognizer.bundle
    if name is None:
        with pytest.raises(legato.LanguageError):
            bundle.prompt_name(language)
    else:
        assert bundle.prompt_name(language) == name
        assert bundle.prompt_slot(language) == bundle.prompts[name]


def test_english_names() -> None:
    assert [english_name(tag) for tag in ("de-DE", "en-US", "nl", "zh-TW", "nb-NO", "xx-YY")] == [
        "german", "english", "dutch", "chinese", "norwegian bokmål", "xx-YY",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "hint"),
    [
        ("germn", r"Did you mean German \(de-DE\)\?"),
        ("engli", r"Did you mean English \(en-US\)\?"),
        ("klingon", r"It knows German \(de-DE\), English \(en-US\)\."),
    ],
)
def test_an_unknown_language_names_similar_ones_that_the_model_knows(language: str, hint: str) -> None:
    with pytest.raises(legato.LanguageError, match=f"Unknown language '{language}' for the model m.*{hint}.*'auto'"):
        PromptSlots({"de-DE": 0, "en-US": 1, "kl-GL": 2}, "m", ["de-DE", "en-US"]).slot(language)


def test_the_languages_of_the_embedded_model(caplog: pytest.LogCaptureFixture) -> None:
    recognizer = legato.load("embedded")
    spoken = recognizer.bundle.spoken_languages
    assert spoken == ("de-DE", "en-US", "es-ES", "fr-FR", "hi-IN", "it-IT", "ja-JP")
    assert recognizer.languages == ("auto", *spoken)
    for language in ("auto", "en-GB", "enGB", "de", "es-US"):
        recognizer.start(language=language)
    assert "not trained" not in caplog.text
    recognizer.start(language="ru")
    recognizer.start(language="ru")
    assert caplog.text.count("not trained on Russian (ru)") == 1


def test_the_slots_of_a_bundle(make_bundle: MakeBundle) -> None:
    opened = open_bundle(make_bundle("transformers-a"))
    assert {name: opened.prompt_slot(name) for name in opened.prompts} == opened.prompts
    assert opened.prompts["ja"] == opened.prompts["ja-JP"]
    assert opened.prompt_slot("JA") == opened.prompts["ja-JP"] == opened.prompts["ja-JA"]
    assert opened.prompts["zh-CN"] != opened.prompts["zh-TW"]
    assert opened.prompt_slot("zh") == opened.prompts["zh-CN"]
