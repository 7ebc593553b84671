"""The package `wyoming`, through which Home Assistant speaks to servers."""

import asyncio
from typing import Any

from report import HINTS, MUTE, WYOMING_PORT, async_step, check, pcm, pieces, versions
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info

FACE = "speech to text"


async def main() -> None:
    """Ask what the server offers, as Home Assistant does, and speak."""
    async with async_step(FACE, "speak"), AsyncTcpClient("127.0.0.1", WYOMING_PORT) as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
        assert event is not None and Info.from_event(event).asr, "no speech to text"
        check(await transcribe(client, "en"))
    async with async_step(FACE, "mute"), AsyncTcpClient("127.0.0.1", WYOMING_PORT) as client:
        await client.write_event(Describe().event())
        await client.read_event()
        await asyncio.sleep(MUTE)
        check(await transcribe(client, "en", pause=MUTE))
        await asyncio.sleep(MUTE)
        check(await transcribe(client, "en"))
    async with async_step(FACE, "language"), AsyncTcpClient("127.0.0.1", WYOMING_PORT) as client:
        for language in ("en", "de"):
            check(await transcribe(client, language), language)
    async with async_step(FACE, "hints"), AsyncTcpClient("127.0.0.1", WYOMING_PORT) as client:
        check(await transcribe(client, "en", context={"prompt": ", ".join(HINTS), "phrases": HINTS}))
    async with async_step(FACE, "leave"):
        async with AsyncTcpClient("127.0.0.1", WYOMING_PORT) as client:
            await client.write_event(Transcribe(language="en").event())
            await client.write_event(AudioStart(16000, 2, 1).event())
            await client.write_event(AudioChunk(16000, 2, 1, pcm("en")[:40000]).event())
        async with AsyncTcpClient("127.0.0.1", WYOMING_PORT) as client:
            check(await transcribe(client, "en"))


async def transcribe(client: AsyncTcpClient, language: str, *, pause: float = 0, **more: Any) -> str:
    """Send a clip, with a pause before its first word, and return the text."""
    await client.write_event(Transcribe(language=language, **more).event())
    await client.write_event(AudioStart(16000, 2, 1).event())
    await asyncio.sleep(pause)
    for piece in pieces(pcm(language)):
        await client.write_event(AudioChunk(16000, 2, 1, piece).event())
    await client.write_event(AudioStop().event())
    while (event := await client.read_event()) is not None:
        if Transcript.is_type(event.type):
            return Transcript.from_event(event).text
    raise ConnectionError("the server closed the connection")


if __name__ == "__main__":
    versions("wyoming")
    asyncio.run(main())
