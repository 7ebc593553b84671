"""Home Assistant's integration of Wyoming: the entity for speech to text, as its pipelines call it."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from homeassistant.components.stt import (
    AudioBitRates,
    AudioChannels,
    AudioCodecs,
    AudioFormats,
    AudioSampleRates,
    SpeechMetadata,
    SpeechResultState,
)
from homeassistant.components.wyoming.data import WyomingService
from homeassistant.components.wyoming.stt import WyomingSttProvider
from report import MUTE, WYOMING_PORT, async_step, check, pcm, pieces, versions

FACE = "Wyoming integration"


async def main() -> None:
    """Set up the entity and speak. Home Assistant opens a connection for each utterance."""
    async with async_step(FACE, "speak"):
        check(await transcribe("en"))
    async with async_step(FACE, "mute"):
        check(await transcribe("en", pause=MUTE))
    async with async_step(FACE, "language"):
        check(await transcribe("de"), "de")
    async with async_step(FACE, "leave"):
        left = asyncio.create_task(transcribe("en", pause=MUTE))
        await asyncio.sleep(1)
        left.cancel()
        check(await transcribe("en"))


async def transcribe(language: str, pause: float = 0) -> str:
    """Return the text of a clip, with a pause in front of it."""
    service = await WyomingService.create("127.0.0.1", WYOMING_PORT)
    assert service is not None and service.has_services(), "no services"
    entry: Any = SimpleNamespace(entry_id="legato")  # all that the entity reads of its configuration
    entity = WyomingSttProvider(entry, service)
    assert language in entity.supported_languages, entity.supported_languages
    metadata = SpeechMetadata(
        language, AudioFormats.WAV, AudioCodecs.PCM,
        AudioBitRates.BITRATE_16, AudioSampleRates.SAMPLERATE_16000, AudioChannels.CHANNEL_MONO,
    )  # fmt: skip
    result = await entity.async_process_audio_stream(metadata, microphone(pcm(language), pause))
    assert result.result is SpeechResultState.SUCCESS, result
    return result.text or ""


async def microphone(data: bytes, pause: float) -> AsyncIterator[bytes]:
    """Yield audio, after a pause in which nothing arrives."""
    await asyncio.sleep(pause)
    for piece in pieces(data):
        yield piece


if __name__ == "__main__":
    versions("homeassistant", "wyoming")
    asyncio.run(main())
