"""The language prompts of a model: from the name of a language to its prompt slot."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from legato.errors import LanguageError
from legato.model.language_names import CODES, LIKELY, RELATED

AUTO = "auto"
"""Name of the prompt with which the model detects the language."""

_TAG = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*")


class PromptSlots:
    """Finds the prompt of a language by look-up (RFC 4647, section 3.4).

    A name may be a language tag (`de-AT`, `zh_Hant_HK`; upper and lower case, `_` and `-` are the same) or an English
    name (`German`). If there is no such prompt, subtags are dropped from the end until one is found. A language without
    a prompt of its own has that of its most likely region, such as `zh-CN` for `zh`.

    Args:
        prompts: prompt slots by locale or bare language code.
        model: name of the model, for messages.
        spoken: the tags of the languages that the model was trained on, for suggestions.
    """

    def __init__(self, prompts: Mapping[str, int], model: str, spoken: Sequence[str] = ()) -> None:
        self._model = model
        self._prompts = prompts
        self._spoken = spoken
        self._names = {_fold(name): name for name in prompts}

    def slot(self, language: str) -> int:
        """Return the slot of a language. Errors as for `name`."""
        return self._prompts[self.name(language)]

    def name(self, language: str) -> str:
        """Return the name of the prompt that is used for a language.

        Raises:
            LanguageError: the model has no such prompt. The message names similar ones, or the model's languages.
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
        raise LanguageError(
            f"Unknown language {language!r} for the model {self._model}.{self._hint(wanted)} "
            "Use 'auto' to detect the language."
        )

    def _hint(self, wanted: str) -> str:
        """Return a sentence with the languages whose tag or English name resembles what was asked for."""
        names = {_fold(tag): tag for tag in self._spoken} | {english_name(tag): tag for tag in self._spoken}
        near = {names[name] for name in difflib.get_close_matches(wanted, names, n=3, cutoff=0.7)}
        known = ", ".join(f"{english_name(tag).title()} ({tag})" for tag in sorted(near) or self._spoken[:10])
        if near:
            return f" Did you mean {known}?"
        more = f" and {len(self._spoken) - 10} more" if len(self._spoken) > 10 else ""
        return f" It knows {known}{more}." if known else ""


def english_name(tag: str) -> str:
    """Return the English name of the language of a tag in lower case, such as `german`; an unknown tag as it is."""
    code = _code(_fold(tag))
    return next((name for name, each in CODES.items() if each == code), tag)


def spoken_languages(prompts: Mapping[str, int], tags: Iterable[str]) -> tuple[str, ...]:
    """Return the languages that a model was trained on, as sorted names of prompts.

    Args:
        prompts: its prompt slots. NeMo's dictionary names every language that any model may have, and some names that
            are no language tags, such as `enGB`.
        tags: languages of the tags that it emits. Without one, every proper name of a prompt counts.
    """
    return tuple(sorted(set(tags) & set(prompts)) or sorted(name for name in prompts if is_tag(name) and name != AUTO))


def is_tag(name: str) -> bool:
    """Return whether the name of a prompt is `auto` or has the form of a language tag, unlike NeMo's `enGB`."""
    return name == AUTO or _TAG.fullmatch(name) is not None


def same_language(one: str, other: str) -> bool:
    """Return whether two tags name the same language, whatever the region."""
    return _code(_fold(one)) == _code(_fold(other))


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
