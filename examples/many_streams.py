"""Recognize several WAV files at once, each as a live stream of one engine.

python examples/many_streams.py talk.wav call.wav      mono or stereo, 16-bit, 16 kHz
"""

import asyncio
import sys
import wave

import numpy as np

import legato


async def recognize(engine: legato.Engine, path: str) -> str:
    """Send a file in pieces of 0.1 s, and return its text."""
    async with engine.open_async(language="auto") as stream:
        with wave.open(path) as file:
            while data := file.readframes(1600):
                samples = np.frombuffer(data, np.int16).reshape(-1, file.getnchannels())
                await stream.accept(samples[:, 0])
        final = (await stream.finish())[-1]
    assert isinstance(final, legato.Final)
    return final.transcript.text


async def run(paths: list[str]) -> None:
    """Recognize all files at the same time."""
    with legato.Engine(legato.load(), max_streams=len(paths)) as engine:
        texts = await asyncio.gather(*(recognize(engine, path) for path in paths))
    for path, text in zip(paths, texts, strict=True):
        print(f"{path}: {text}")


def main() -> None:
    """Recognize the files of the command line."""
    asyncio.run(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
