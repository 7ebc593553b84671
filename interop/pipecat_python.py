"""Pipecat's services for speech to text, each in a pipeline of its own: two of OpenAI and two of Deepgram."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    STTUpdateSettingsFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineTask
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.deepgram.flux.stt import DeepgramFluxSTTService
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.openai.stt import OpenAIRealtimeSTTService, OpenAISTTService
from pipecat.transcriptions.language import Language
from report import HINTS, MUTE, SOCKET_URL, TIMEOUT, URL, async_step, check, pcm, pieces, silence, versions

PROMPT = f"A talk about {', '.join(HINTS)}."
Make = Callable[..., Any]


def openai_files(**settings: Any) -> OpenAISTTService:
    """Make the service that sends each turn as a file."""
    given = OpenAISTTService.Settings(**settings) if settings else None
    return OpenAISTTService(api_key="unused", base_url=f"{URL}/v1", settings=given)


def openai_realtime(**settings: Any) -> OpenAIRealtimeSTTService:
    """Make the service of Realtime."""
    given = OpenAIRealtimeSTTService.Settings(**settings) if settings else None
    return OpenAIRealtimeSTTService(api_key="unused", base_url=f"{SOCKET_URL}/v1/realtime", settings=given)


def deepgram(**settings: Any) -> DeepgramSTTService:
    """Make the service of Deepgram's live streams."""
    given = DeepgramSTTService.Settings(**settings) if settings else None
    return DeepgramSTTService(api_key="unused", base_url=URL, settings=given)


def deepgram_flux(**settings: Any) -> DeepgramFluxSTTService:
    """Make the service of Deepgram's turns."""
    given = DeepgramFluxSTTService.Settings(**settings) if settings else None
    return DeepgramFluxSTTService(api_key="unused", url=f"{SOCKET_URL}/v2/listen", settings=given)


class Sink(FrameProcessor):
    """Collects the transcripts and the errors of a service."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take a frame and pass it on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            self.texts.append(frame.text)
        await self.push_frame(frame, direction)


class Session:
    """A running pipeline: a service and a sink."""

    def __init__(self, service: Any) -> None:
        self.sink = Sink()
        self.errors: list[str] = []
        self.task = PipelineTask(Pipeline([service, self.sink]))

        @self.task.event_handler("on_pipeline_error")
        async def on_error(_: Any, frame: ErrorFrame) -> None:
            self.errors.append(frame.error)

    async def say(self, language: str, *, whole: bool = True) -> None:
        """Send a clip, in real time and with the signs of a voice detector; then silence, if the clip is whole."""
        await self.task.queue_frame(VADUserStartedSpeakingFrame())
        data = pcm(language)
        for piece in pieces(data if whole else data[:40000]):
            await self.send(piece)
        if whole:
            await self.be_silent(0.3)
            await self.task.queue_frame(VADUserStoppedSpeakingFrame(stop_secs=0.3))
            await self.be_silent(2)

    async def be_silent(self, seconds: float) -> None:
        """Send silence in real time, as a microphone does."""
        for piece in pieces(silence(seconds)):
            await self.send(piece)

    async def send(self, piece: bytes) -> None:
        """Send 0.1 s of audio."""
        await self.task.queue_frame(InputAudioRawFrame(audio=piece, sample_rate=16000, num_channels=1))
        await asyncio.sleep(0.1)

    async def check(self, language: str) -> None:
        """Wait for the text of a clip."""
        for _ in range(10 * TIMEOUT):
            assert not self.errors, self.errors
            try:
                check(" ".join(self.sink.texts), language)
            except AssertionError as error:
                last = error
                await asyncio.sleep(0.1)
            else:
                self.sink.texts.clear()
                return
        raise last


@asynccontextmanager
async def session(service: Any, *, leaves: bool = False) -> AsyncIterator[Session]:
    """Run a pipeline; it ends in good order, or is canceled."""
    running = Session(service)
    runner = asyncio.create_task(PipelineRunner(handle_sigint=False).run(running.task))
    try:
        yield running
    finally:
        if leaves:
            await running.task.cancel()
        else:
            await running.task.queue_frame(EndFrame())
        await asyncio.wait_for(runner, 20)
    assert not running.errors, running.errors


async def run(face: str, make: Make, *, hints: dict[str, Any], german: Any) -> None:
    """Try a service."""
    async with async_step(face, "speak"), session(make()) as one:
        await one.say("en")
        await one.check("en")
    async with async_step(face, "mute"), session(make()) as one:
        await asyncio.sleep(MUTE)
        await one.say("en")
        await one.check("en")
        await asyncio.sleep(MUTE)
        await one.say("en")
        await one.check("en")
    async with async_step(face, "language"), session(make(**hints.get("base", {}))) as one:
        await one.say("en")
        await one.check("en")
        await one.task.queue_frame(STTUpdateSettingsFrame(delta=german))
        await asyncio.sleep(1)
        await one.say("de")
        await one.check("de")
    async with async_step(face, "hints"), session(make(**hints["hints"])) as one:
        await one.say("en")
        await one.check("en")
    async with async_step(face, "leave"):
        async with session(make(), leaves=True) as one:
            await one.say("en", whole=False)
        async with session(make()) as one:
            await one.say("en")
            await one.check("en")


async def main() -> None:
    """Try all services."""
    german = {"language": Language.DE}
    await run(
        "OpenAI, files", openai_files, hints={"hints": {"prompt": PROMPT}}, german=OpenAISTTService.Settings(**german)
    )
    await run(
        "OpenAI, Realtime", openai_realtime, hints={"hints": {"model": "gpt-4o-transcribe", "prompt": PROMPT}},
        german=OpenAIRealtimeSTTService.Settings(**german),
    )  # fmt: skip
    await run(
        "Deepgram, v1", deepgram, hints={"hints": {"keyterm": HINTS}}, german=DeepgramSTTService.Settings(**german)
    )
    multi = {"model": "flux-general-multi", "language_hints": [Language.EN]}
    await run(
        "Deepgram, v2", deepgram_flux, hints={"base": multi, "hints": {"keyterm": HINTS}},
        german=DeepgramFluxSTTService.Settings(language_hints=[Language.DE]),
    )  # fmt: skip


if __name__ == "__main__":
    versions("pipecat-ai")
    asyncio.run(main())
