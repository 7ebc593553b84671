"""OpenAI's package for Python: transcriptions and Realtime."""

import asyncio
import base64
from typing import Any

from openai import AsyncOpenAI, OpenAI
from report import HINTS, MUTE, SOCKET_URL, TIMEOUT, URL, async_step, check, pcm, pieces, silence, step, versions, wav

FILES, LIVE = "transcriptions", "Realtime"
COMPLETED = "conversation.item.input_audio_transcription.completed"
Session = dict[str, Any]


def transcriptions() -> None:
    """Files, with every response format and as a stream."""
    client = OpenAI(base_url=f"{URL}/v1", api_key="unused")
    create = client.audio.transcriptions.create
    with step(FILES, "speak"):
        check(create(file=wav("en"), model="whisper-1").text)
        check(create(file=wav("en"), model="gpt-4o-transcribe", response_format="json").text)
        detailed = create(file=wav("en"), model="whisper-1", response_format="verbose_json")
        check(detailed.text)
        assert detailed.segments, "no segments"
        assert "-->" in create(file=wav("en"), model="whisper-1", response_format="srt")
        events = list(create(file=wav("en"), model="gpt-4o-mini-transcribe", stream=True))
        check(events[-1].text)
    with step(FILES, "language"):
        check(create(file=wav("de"), model="whisper-1", language="de").text, "de")
        detailed = create(file=wav("fr"), model="whisper-1", language="fr", response_format="verbose_json")
        assert detailed.language == "french", detailed.language
    with step(FILES, "hints"):
        prompt = f"A talk about {', '.join(HINTS)}."
        check(create(file=wav("en"), model="whisper-1", language="en", prompt=prompt).text)
    with step(FILES, "leave"):
        with client.audio.transcriptions.with_streaming_response.create(
            file=wav("en"), model="gpt-4o-transcribe", stream=True
        ):
            pass
        check(create(file=wav("en"), model="whisper-1").text)


async def realtime() -> None:
    """A live session; turns are ended by the server, which is the default, or by the client."""
    client = AsyncOpenAI(base_url=f"{URL}/v1", websocket_base_url=f"{SOCKET_URL}/v1", api_key="unused")
    async with async_step(LIVE, "speak"), connect(client) as connection:
        await configure(connection, {"language": "en"})
        await send(connection, pcm("en", 24000) + silence(1.5, 24000))
        check(await completed(connection))
    async with async_step(LIVE, "mute"), connect(client) as connection:
        await configure(connection, {"language": "en"})
        await asyncio.sleep(MUTE)
        await send(connection, pcm("en", 24000) + silence(1.5, 24000))
        check(await completed(connection))
        await asyncio.sleep(MUTE)
        await send(connection, pcm("en", 24000) + silence(1.5, 24000))
        check(await completed(connection))
    async with async_step(LIVE, "language"), connect(client) as connection:
        for language in ("en", "de"):
            await configure(connection, {"language": language})
            await send(connection, pcm(language, 24000) + silence(1.5, 24000))
            check(await completed(connection), language)
    async with async_step(LIVE, "hints"), connect(client) as connection:
        await configure(connection, {"language": "en", "prompt": f"A talk about {', '.join(HINTS)}."})
        await send(connection, pcm("en", 24000) + silence(1.5, 24000))
        check(await completed(connection))
    async with async_step(LIVE, "finalize"), connect(client) as connection:
        await configure(connection, {"language": "en"}, turn_detection=None)
        await send(connection, pcm("en", 24000))
        await connection.input_audio_buffer.commit()
        check(await completed(connection))
    async with async_step(LIVE, "leave"):
        async with connect(client) as connection:
            await configure(connection, {"language": "en"})
            await send(connection, pcm("en", 24000)[:60000])
        async with connect(client) as connection:
            await configure(connection, {"language": "en"})
            await send(connection, pcm("en", 24000) + silence(1.5, 24000))
            check(await completed(connection))


def connect(client: AsyncOpenAI) -> Any:
    """Open a session for transcription."""
    return client.realtime.connect(extra_query={"intent": "transcription"})


async def configure(connection: Any, transcription: Session, **fields: Any) -> None:
    """Update the session and wait for the answer."""
    audio = {"input": {"transcription": {"model": "gpt-4o-transcribe", **transcription}, **fields}}
    await connection.session.update(session={"type": "transcription", "audio": audio})
    while (event := await connection.recv()).type != "session.updated":
        assert event.type != "error", event.error.message


async def send(connection: Any, data: bytes) -> None:
    """Send audio."""
    for piece in pieces(data, 24000):
        await connection.input_audio_buffer.append(audio=base64.b64encode(piece).decode())


async def completed(connection: Any) -> str:
    """Return the text of a turn: that of its items, if it has pauses."""
    texts = []
    try:
        async with asyncio.timeout(TIMEOUT):
            while True:
                event = await asyncio.wait_for(connection.recv(), 3 if texts else None)
                assert event.type != "error", event.error.message
                if event.type == COMPLETED:
                    texts.append(event.transcript)
    except TimeoutError:
        return " ".join(filter(None, texts))


if __name__ == "__main__":
    versions("openai")
    transcriptions()
    asyncio.run(realtime())
