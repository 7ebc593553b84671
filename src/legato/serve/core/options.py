"""The options of a stream as the server prepares them: limited, compiled and checked before any audio is accepted."""

import asyncio
from dataclasses import replace

from legato.decode.phrases import Phrases
from legato.options import StreamOptions
from legato.recognizer import Recognizer
from legato.serve.errors import TooManyPhrasesError
from legato.serve.settings import Settings


async def prepare(options: StreamOptions, recognizer: Recognizer, settings: Settings) -> StreamOptions:
    """Return options with compiled phrases that the model can run.

    Raises:
        TooManyPhrasesError: more phrases than the settings allow.
        LanguageError, ChunkSizeError, PhraseError, LegatoError: see `StreamOptions`.
    """
    prepared = replace(options, phrases=await compile_phrases(options.phrases, recognizer, settings))
    recognizer.start(prepared)  # raises for options that the model cannot run
    return prepared


async def compile_phrases(
    phrases: Phrases, recognizer: Recognizer, settings: Settings, param: str | None = None
) -> Phrases:
    """Return compiled phrases. Thousands take a while, so they are compiled in a thread.

    Args:
        phrases: the phrases of a client.
        recognizer: has the vocabulary that spells them.
        settings: limit their number.
        param: name of the client's field, for errors.

    Raises:
        TooManyPhrasesError: more phrases than the settings allow.
        PhraseError: see `legato.decode.phrases.compile_phrases`.
    """
    check_phrases(phrases, settings, param)
    return await asyncio.to_thread(recognizer.compile_phrases, phrases)


def check_phrases(phrases: Phrases, settings: Settings, param: str | None = None) -> None:
    """Limit the number of phrases. Arguments and errors as for `compile_phrases`."""
    if isinstance(phrases, list | tuple) and len(phrases) > settings.max_phrases:
        raise TooManyPhrasesError(len(phrases), settings.max_phrases, param)
