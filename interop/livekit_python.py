"""LiveKit's plugins for speech to text: OpenAI (files and Realtime) and Deepgram (files, v1 and v2)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from livekit import rtc
from livekit.agents import utils
from livekit.agents.stt import STT, SpeechEventType, SpeechStream
from livekit.plugins import deepgram, openai
from report import HINTS, MUTE, SOCKET_URL, TIMEOUT, URL, async_step, check, pcm, pieces, silence, versions

PROMPT = f"A talk about {', '.join(HINTS)}."


def frame(data: bytes) -> rtc.AudioFrame:
    """Make a frame of audio."""
    return rtc.AudioFrame(data=data, sample_rate=16000, num_channels=1, samples_per_channel=len(data) // 2)


class Session:
    """An open stream and its transcripts."""

    def __init__(self, stream: SpeechStream) -> None:
        self.stream = stream
        self.texts: list[str] = []
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self.stream:
            if event.type == SpeechEventType.FINAL_TRANSCRIPT:
                self.texts.append(event.alternatives[0].text)

    async def send(self, data: bytes) -> None:
        """Send audio in real time."""
        for piece in pieces(data):
            self.stream.push_frame(frame(piece))
            await asyncio.sleep(0.1)

    async def say(self, language: str) -> None:
        """Send a clip and silence, and wait for its text."""
        await self.send(pcm(language) + silence(2.5))
        await self.check(language)

    async def check(self, language: str) -> None:
        """Wait for the text of a clip."""
        for _ in range(10 * TIMEOUT):
            if self.reader.done():
                self.reader.result()
            try:
                check(" ".join(self.texts), language)
            except AssertionError as error:
                last = error
                await asyncio.sleep(0.1)
            else:
                self.texts.clear()
                return
        raise last


@asynccontextmanager
async def session(service: STT) -> AsyncIterator[Session]:
    """Open a stream, and close it."""
    one = Session(service.stream())
    try:
        yield one
    finally:
        await one.stream.aclose()
        one.reader.cancel()
        await service.aclose()


async def files(face: str, service: Any, german: dict[str, Any], hints: Any) -> None:
    """Recognize clips as wholes."""
    async with async_step(face, "speak"):
        check((await service.recognize(frame(pcm("en")))).alternatives[0].text)
    async with async_step(face, "language"):
        service.update_options(**german)
        check((await service.recognize(frame(pcm("de")))).alternatives[0].text, "de")
    async with async_step(face, "hints"):
        check((await hints.recognize(frame(pcm("en")))).alternatives[0].text)


async def live(
    face: str, make: Any, german: Any, hints: dict[str, Any], base: dict[str, Any], finalizes: bool = True
) -> None:
    """Recognize streams. Not every plugin ends a turn when the input ends."""
    async with async_step(face, "speak"), session(make()) as one:
        await one.say("en")
    async with async_step(face, "mute"), session(make()) as one:
        await asyncio.sleep(MUTE)
        await one.say("en")
        await asyncio.sleep(MUTE)
        await one.say("en")
    async with async_step(face, "language"):
        service = make(**base)
        async with session(service) as one:
            await one.say("en")
            service.update_options(**german)
            await asyncio.sleep(1)
            await one.say("de")
    async with async_step(face, "hints"), session(make(**hints)) as one:
        await one.say("en")
    if finalizes:
        async with async_step(face, "finalize"), session(make()) as one:
            await one.send(pcm("en") + silence(0.3))
            one.stream.flush()
            one.stream.end_input()
            await one.check("en")
    async with async_step(face, "leave"):
        async with session(make()) as one:
            await one.send(pcm("en")[:40000])
        async with session(make()) as one:
            await one.say("en")


async def main() -> None:
    """Try all plugins."""
    key = {"api_key": "unused"}
    async with utils.http_context.open():  # as in a worker

        def of_openai(**more: Any) -> openai.STT:
            return openai.STT(base_url=f"{URL}/v1", **key, **more)

        def of_openai_live(**more: Any) -> openai.STT:
            return of_openai(use_realtime=True, **more)

        def of_openai_whisper(**more: Any) -> openai.STT:
            return of_openai(model="gpt-realtime-whisper", **more)

        def of_deepgram(**more: Any) -> deepgram.STT:
            return deepgram.STT(base_url=f"{URL}/v1/listen", **key, **more)

        def of_deepgram_turns(**more: Any) -> deepgram.STTv2:
            return deepgram.STTv2(base_url=f"{SOCKET_URL}/v2/listen", **key, **more)

        german = {"language": "de"}
        await files("OpenAI, files", of_openai(), german, of_openai(prompt=PROMPT))
        await files("Deepgram, files", of_deepgram(), german, of_deepgram(keyterm=HINTS))
        await live("OpenAI, Realtime", of_openai_live, german, {"prompt": PROMPT}, {}, finalizes=False)
        await live("OpenAI, Realtime, own VAD", of_openai_whisper, german, {"prompt": PROMPT}, {})
        await live("Deepgram, v1", of_deepgram, german, {"keyterm": HINTS}, {})
        multi = {"model": "flux-general-multi", "language_hint": ["en"]}
        await live("Deepgram, v2", of_deepgram_turns, {"language_hint": ["de"]}, {"keyterm": HINTS}, multi)


if __name__ == "__main__":
    versions("livekit-agents", "livekit-plugins-openai", "livekit-plugins-deepgram")
    asyncio.run(main())
