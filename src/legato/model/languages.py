"""The language prompts of a model: from the name of a language to its prompt slot."""

import difflib
from collections.abc import Mapping

from legato.errors import LanguageError

AUTO = "auto"
"""Name of the prompt with which the model detects the language."""


class PromptSlots:
    """Finds the prompt slot of a language; upper and lower case, `_` and `-` are the same.

    A code without a prompt of its own, such as `ja`, has the slot of its locales if all of them share one.

    Args:
        prompts: prompt slots by locale or bare language code.
        model: name of the model, for messages.
    """

    def __init__(self, prompts: Mapping[str, int], model: str) -> None:
        self._model = model
        self._names = {_fold(name): name for name in prompts}
        shared: dict[str, set[int]] = {}
        for name, slot in prompts.items():
            shared.setdefault(_code(_fold(name)), set()).add(slot)
        codes = {code: next(iter(slots)) for code, slots in shared.items() if len(slots) == 1}
        self._slots = {**codes, **{_fold(name): slot for name, slot in prompts.items()}, **prompts}

    def slot(self, language: str) -> int:
        """Return the slot of a language.

        Raises:
            LanguageError: the model has no such prompt. The message names the nearest ones.
        """
        wanted = _fold(language)
        for name in (language, wanted):
            if name in self._slots:
                return self._slots[name]
        near = [name for folded, name in self._names.items() if _code(folded) == _code(wanted)] or [
            self._names[folded] for folded in difflib.get_close_matches(wanted, self._names, n=3, cutoff=0.0)
        ]
        hint = f" The nearest are: {', '.join(sorted(near)[:5])}." if near else ""
        raise LanguageError(
            f"Unknown language {language!r} for the model {self._model}.{hint} Use 'auto' to detect the language."
        )


def _fold(name: str) -> str:
    return name.replace("_", "-").lower()


def _code(folded: str) -> str:
    return folded.split("-", maxsplit=1)[0]
