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


async def compile_phrases(phrases: Phrases, recognizer: Recognizer, settings: Settings) -> Phrases:
    """Return compiled phrases. Thousands take a while, so they are compiled in a thread.

    Raises:
        TooManyPhrasesError: more phrases than the settings allow.
        PhraseError: see `legato.decode.phrases.compile_phrases`.
    """
    if isinstance(phrases, list | tuple) and len(phrases) > settings.max_phrases:
        raise TooManyPhrasesError(len(phrases), settings.max_phrases)
    return await asyncio.to_thread(recognizer.compile_phrases, phrases)
