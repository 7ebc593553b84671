"""Deepgram's package for Python: files, live streams (v1) and turns (v2)."""

import asyncio
from typing import Any

from deepgram import AsyncDeepgramClient, DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v2.types import ListenV2Configure
from report import HINTS, MUTE, SOCKET_URL, URL, async_step, check, pcm, pieces, silence, step, versions, wav

FILES, LIVE, TURNS = "files", "listen v1", "listen v2"
OPTIONS: dict[str, Any] = {"encoding": "linear16", "sample_rate": 16000}
ENVIRONMENT = DeepgramClientEnvironment(base=URL, production=SOCKET_URL, agent=SOCKET_URL, agent_rest=URL)


def files() -> None:
    """Files, with the options that examples use."""
    transcribe = DeepgramClient(api_key="unused", environment=ENVIRONMENT).listen.v1.media.transcribe_file
    with step(FILES, "speak"):
        options = {"smart_format": True, "punctuate": True, "diarize": True, "utterances": True, "paragraphs": True}
        check(file_text(transcribe(request=wav("en").read_bytes(), model="nova-3", **options)))
    with step(FILES, "language"):
        check(file_text(transcribe(request=wav("de").read_bytes(), model="nova-3", language="de")), "de")
        answer = transcribe(request=wav("fr").read_bytes(), model="nova-3", detect_language=True)
        assert answer.results.channels[0].detected_language, "no detected language"
    with step(FILES, "hints"):
        check(file_text(transcribe(request=wav("en").read_bytes(), model="nova-3", language="en", keyterm=HINTS)))


def file_text(answer: Any) -> str:
    """Return the text of an answer."""
    return str(answer.results.channels[0].alternatives[0].transcript)


async def live() -> None:
    """Live streams."""
    client = AsyncDeepgramClient(api_key="unused", environment=ENVIRONMENT)

    def connect(language: str = "en", **more: Any) -> Any:
        return client.listen.v1.connect(model="nova-3", language=language, **OPTIONS, **more)

    async with async_step(LIVE, "speak"), connect(interim_results=True, smart_format=True) as connection:
        await send(connection, pcm("en"))
        check(await rest(connection))
    async with async_step(LIVE, "mute"), connect() as connection:
        await asyncio.sleep(MUTE)
        await send(connection, pcm("en"))
        await asyncio.sleep(MUTE)
        check(await rest(connection))
    async with async_step(LIVE, "language"):
        for language in ("de", "multi"):
            async with connect(language) as connection:
                await send(connection, pcm("de"))
                text = await rest(connection)
                assert text, "no text"
                if language == "de":
                    check(text, "de")
    async with async_step(LIVE, "hints"), connect(keyterm=HINTS) as connection:
        await send(connection, pcm("en"))
        check(await rest(connection))
    async with async_step(LIVE, "finalize"), connect() as connection:
        await send(connection, pcm("en"))
        await connection.send_finalize()
        texts = []
        async for message in connection:
            if message.type == "Results" and message.is_final:
                texts.append(message.channel.alternatives[0].transcript)
                if message.from_finalize:
                    break
        check(" ".join(texts))
    async with async_step(LIVE, "leave"):
        async with connect() as connection:
            await send(connection, pcm("en")[:40000])
        async with connect() as connection:
            await send(connection, pcm("en"))
            check(await rest(connection))


async def turns() -> None:
    """Turns."""
    client = AsyncDeepgramClient(api_key="unused", environment=ENVIRONMENT)

    def connect(**more: Any) -> Any:
        return client.listen.v2.connect(model="flux-general-multi", **OPTIONS, **more)

    data = pcm("en") + silence(2)
    async with async_step(TURNS, "speak"), connect(language_hint="en") as connection:
        await send(connection, data)
        check(await rest(connection))
    async with async_step(TURNS, "mute"), connect(language_hint="en") as connection:
        await asyncio.sleep(MUTE)
        await send(connection, data)
        await asyncio.sleep(MUTE)
        check(await rest(connection))
    async with async_step(TURNS, "language"), connect(language_hint="en") as connection:
        await connection.send_configure(ListenV2Configure(type="Configure", language_hints=["de"]))
        await send(connection, pcm("de") + silence(2))
        check(await rest(connection), "de")
    async with async_step(TURNS, "hints"), connect(language_hint="en", keyterm=HINTS) as connection:
        await send(connection, data)
        check(await rest(connection))
    async with async_step(TURNS, "finalize"), connect(language_hint="en") as connection:
        await send(connection, pcm("en"))
        await connection.send_force_end_turn()
        async for message in connection:
            if message.type == "TurnInfo" and message.event == "EndOfTurn":
                check(message.transcript)
                break
    async with async_step(TURNS, "leave"):
        async with connect(language_hint="en") as connection:
            await send(connection, pcm("en")[:40000])
        async with connect(language_hint="en") as connection:
            await send(connection, data)
            check(await rest(connection))


async def send(connection: Any, data: bytes) -> None:
    """Send audio."""
    for piece in pieces(data):
        await connection.send_media(piece)


async def rest(connection: Any) -> str:
    """Close the stream in good order, and return the text of all that was said."""
    await connection.send_close_stream()
    texts = []
    async for message in connection:
        assert message.type != "Error", message
        if message.type == "Results" and message.is_final:
            texts.append(message.channel.alternatives[0].transcript)
        elif message.type == "TurnInfo" and message.event == "EndOfTurn":
            texts.append(message.transcript)
    return " ".join(filter(None, texts))


if __name__ == "__main__":
    versions("deepgram-sdk")
    files()
    asyncio.run(live())
    asyncio.run(turns())
