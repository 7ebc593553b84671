"""The options of a stream as the server prepares them: limited, compiled and checked before any audio is accepted."""

import asyncio
from dataclasses import dataclass, replace

from legato.decode.phrase_trie import PhraseTrie
from legato.decode.phrases import Phrases
from legato.options import StreamOptions
from legato.recognizer import Recognizer
from legato.serve.core.hints import spellable
from legato.serve.errors import TooManyPhrasesError
from legato.serve.logs import log_event
from legato.serve.settings import Settings


@dataclass(frozen=True, slots=True)
class Prepared:
    """Options that the model can run.

    Attributes:
        options: the options, with compiled phrases and the name of the language prompt that is used.
        warnings: what was ignored.
    """

    options: StreamOptions
    warnings: list[str]


async def prepare(
    options: StreamOptions, recognizer: Recognizer, settings: Settings, param: str | None = None
) -> Prepared:
    """Prepare the options of a stream. Arguments as for `compile_phrases`.

    Raises:
        TooManyPhrasesError: more phrases than the settings allow.
        LanguageError, ChunkSizeError, LegatoError: see `StreamOptions`.
    """
    phrases, warnings = await compile_hints(options.phrases, recognizer, settings, param)
    language = recognizer.bundle.prompt_name(options.language)
    prepared = replace(options, phrases=phrases, language=language)
    recognizer.start(prepared)  # raises for options that the model cannot run
    return Prepared(prepared, warnings)


async def compile_phrases(
    phrases: Phrases, recognizer: Recognizer, settings: Settings, param: str | None = None
) -> Phrases:
    """Return compiled phrases without those that the model cannot spell. They are compiled in a thread: many take long.

    Args:
        phrases: the phrases of a client.
        recognizer: has the vocabulary that spells them.
        settings: limit their number.
        param: name of the client's field, for errors.

    Raises:
        TooManyPhrasesError: more phrases than the settings allow.
    """
    return (await compile_hints(phrases, recognizer, settings, param))[0]


def check_phrases(phrases: Phrases, settings: Settings, param: str | None = None) -> None:
    """Limit the number of phrases. Arguments and errors as for `compile_phrases`."""
    if isinstance(phrases, list | tuple) and len(phrases) > settings.max_phrases:
        raise TooManyPhrasesError(len(phrases), settings.max_phrases, param)


async def compile_hints(
    phrases: Phrases, recognizer: Recognizer, settings: Settings, param: str | None = None
) -> tuple[Phrases, list[str]]:
    """Return compiled phrases as `compile_phrases` does, and a warning for each phrase that is ignored."""
    check_phrases(phrases, settings, param)
    if not phrases or isinstance(phrases, PhraseTrie):
        return phrases, []
    found, warnings = await asyncio.to_thread(spellable, phrases, recognizer.bundle.pieces)
    if warnings:
        log_event("hints ignored", count=len(warnings), param=param)
    return await asyncio.to_thread(recognizer.compile_phrases, found), warnings
