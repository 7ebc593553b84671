"""The language prompts of a model: from the name of a language to its prompt slot."""

import difflib
from collections.abc import Iterator, Mapping

from legato.errors import LanguageError
from legato.model.language_names import CODES, LIKELY, RELATED

AUTO = "auto"
"""Name of the prompt with which the model detects the language."""


class PromptSlots:
    """Finds the prompt of a language by look-up (RFC 4647, section 3.4).

    A name may be a language tag (`de-AT`, `zh_Hant_HK`; upper and lower case, `_` and `-` are the same) or an English
    name (`German`). If there is no such prompt, subtags are dropped from the end until one is found. A language without
    a prompt of its own has that of its most likely region, such as `zh-CN` for `zh`.

    Args:
        prompts: prompt slots by locale or bare language code.
        model: name of the model, for messages.
    """

    def __init__(self, prompts: Mapping[str, int], model: str) -> None:
        self._model = model
        self._prompts = prompts
        self._names = {_fold(name): name for name in prompts}

    def slot(self, language: str) -> int:
        """Return the slot of a language. Errors as for `name`."""
        return self._prompts[self.name(language)]

    def name(self, language: str) -> str:
        """Return the name of the prompt that is used for a language.

        Raises:
            LanguageError: the model has no such prompt. The message names the nearest ones.
        """
        if not isinstance(language, str):
            raise LanguageError(f"The language is {language!r}. Give its name, such as 'en-US', or 'auto'.")
        if language in self._prompts:
            return language
        wanted = _fold(language)
        for candidate in _candidates(CODES.get(wanted, wanted)):
            if (name := self._names.get(candidate)) is not None:
                return name
        code = _code(CODES.get(wanted, wanted))
        locales = [name for folded, name in self._names.items() if _code(folded) == code]
        if locales:
            return locales[0]
        near = [self._names[folded] for folded in difflib.get_close_matches(wanted, self._names, n=3, cutoff=0.0)]
        hint = f" The nearest are: {', '.join(sorted(near)[:5])}." if near else ""
        raise LanguageError(
            f"Unknown language {language!r} for the model {self._model}.{hint} Use 'auto' to detect the language."
        )


def english_name(tag: str) -> str:
    """Return the English name of the language of a tag in lower case, such as `german`; an unknown tag as it is."""
    code = _code(_fold(tag))
    return next((name for name, each in CODES.items() if each == code), tag)


def _candidates(wanted: str) -> Iterator[str]:
    """Yield the folded tags to try, from the most to the least specific."""
    subtags = wanted.split("-")
    while subtags:
        tag = "-".join(subtags)
        yield tag
        if tag in RELATED:
            yield RELATED[tag]
        subtags.pop()
        while subtags and len(subtags[-1]) == 1:  # a singleton introduces the subtags after it
            subtags.pop()
    if (likely := LIKELY.get(_code(wanted))) is not None:
        yield likely


def _fold(name: str) -> str:
    return name.strip().replace("_", "-").lower()


def _code(folded: str) -> str:
    return folded.split("-", maxsplit=1)[0]
