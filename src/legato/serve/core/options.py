"""The options of a stream as the server prepares them: limited, compiled and checked before any audio is accepted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from legato.decode.phrase_trie import PhraseTrie
from legato.decode.phrases import Phrase, Phrases
from legato.model.bundle import Bundle
from legato.options import StreamOptions
from legato.recognizer import Recognizer
from legato.serve.core.aside import ASIDE
from legato.serve.core.hints import compile_spellable
from legato.serve.errors import TooManyLettersError, TooManyPhrasesError
from legato.serve.logs import log_event
from legato.serve.settings import Settings

#: Letters of the phrases of a stream together; compiling them takes a second or two.
_MOST_LETTERS = 20_000
#: Phrases with fewer letters are compiled at once.
_SHORT = 200
#: The phrases that were compiled last, and their letters together: clients send the same ones with every stream.
_COMPILED: dict[tuple[Path, tuple[Phrase, ...]], tuple[PhraseTrie | None, list[str]]] = {}
_MOST_CACHED = 100_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """Options that the model can run.

    Attributes:
        options: the options, with compiled phrases and the name of the language prompt that is used.
        warnings: what was ignored, and a language that the model was not trained on.
    """

    options: StreamOptions
    warnings: list[str]


async def prepare(
    options: StreamOptions, recognizer: Recognizer, settings: Settings, param: str | None = None
) -> Prepared:
    """Prepare the options of a stream. Arguments as for `compile_hints`.

    Raises:
        TooManyPhrasesError: more phrases than the settings allow.
        LanguageError, ChunkSizeError, LegatoError: see `StreamOptions`.
    """
    phrases, warnings = await compile_hints(options.phrases, recognizer, settings, param)
    language = recognizer.bundle.prompt_name(options.language)
    prepared = replace(options, phrases=phrases, language=language)
    recognizer.start(prepared)  # raises for options that the model cannot run
    doubt = recognizer.bundle.language_warning(language)
    return Prepared(prepared, [*warnings, doubt] if doubt else warnings)


def check_phrases(phrases: Phrases, settings: Settings, param: str | None = None) -> None:
    """Limit the number of phrases. Arguments and errors as for `compile_hints`."""
    if isinstance(phrases, list | tuple) and len(phrases) > settings.max_phrases:
        raise TooManyPhrasesError(len(phrases), settings.max_phrases, param)


async def compile_hints(
    phrases: Phrases, recognizer: Recognizer, settings: Settings, param: str | None = None
) -> tuple[Phrases, list[str]]:
    """Return compiled phrases, and a warning for each that is ignored: the model cannot spell it. Many compile aside.

    Args:
        phrases: the phrases of a client.
        recognizer: has the vocabulary that spells them.
        settings: limit their number.
        param: name of the client's field, for errors.

    Raises:
        TooManyPhrasesError: more phrases than the settings allow.
        TooManyLettersError: they are too long together.
    """
    check_phrases(phrases, settings, param)
    if not phrases or isinstance(phrases, PhraseTrie):
        return phrases, []
    letters = _letters(phrases)
    if letters > _MOST_LETTERS:
        raise TooManyLettersError(letters, _MOST_LETTERS, param)
    found, warnings = await _compiled(tuple(phrases), letters, recognizer.bundle)
    if warnings:
        log_event("hints ignored", count=len(warnings), param=param)
    return found, list(warnings)


async def _compiled(phrases: tuple[Phrase, ...], letters: int, bundle: Bundle) -> tuple[PhraseTrie | None, list[str]]:
    key = bundle.path, phrases
    if (known := _COMPILED.pop(key, None)) is None:
        arguments = phrases, bundle.pieces
        known = compile_spellable(*arguments) if letters <= _SHORT else await ASIDE.run(compile_spellable, *arguments)
    _COMPILED[key] = known  # the last is the one that was used last
    while sum(_letters(kept) for _, kept in _COMPILED) > _MOST_CACHED:
        _COMPILED.pop(next(iter(_COMPILED)))
    return known


def _letters(phrases: Sequence[Phrase]) -> int:
    return sum(len(phrase if isinstance(phrase, str) else phrase[0]) for phrase in phrases)
