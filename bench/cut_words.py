"""Words that are cut: in the sockets of a server and in its files, on twenty minutes of speech.

    legato serve --port 8000                                                # in another terminal
    python -m bench.cut_words --url http://127.0.0.1:8000 --manifest M [--minutes 20]

Sentences of the manifest follow each other as in `bench.subtitles`, but with pauses of at most 0.7 s, so that segments
reach their longest length. All sockets receive the same audio at once: the native protocol as the page uses it, the
same without segments for comparison, OpenAI's realtime transcription, Deepgram's live and turn protocols. SRT and TXT
are answers for the whole file. A word of the text without segments is cut if an output has it in two pieces, with a
border of segments, cues or lines between them.
"""

import argparse
import asyncio
import base64
import io
import json
import wave
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect

from bench.clips import load_clips
from bench.subtitles import joined, read_srt
from legato.audio import SAMPLE_RATE

PROTOCOLS = ("native", "without segments", "realtime", "Deepgram listen", "Deepgram turns")
#: Seconds; a longer one would end a segment.
_LONGEST_PAUSE = 0.7
_PIECE = 6400


def cut(parts: Sequence[str], whole: str) -> list[str]:
    """Return the words of a whole text that borders between its parts divide, as `left|right`."""
    words, each = whole.split(), [part.split() for part in parts if part.split()]
    found = [word for part in each for word in part]
    borders = list(accumulate(map(len, each[:-1])))
    cuts = []
    for kind, first, last, begin, end in SequenceMatcher(None, words, found, autojunk=False).get_opcodes():
        inside = [border for border in borders if kind == "replace" and begin < border < end]
        cuts += [
            f"{found[border - 1]}|{found[border]}"
            for border in inside
            if found[border - 1] + found[border] in words[first:last]
        ]
    return cuts


def stream(
    url: str, pieces: Sequence[bytes], *, end: str, first: str | None = None, text: Callable[[bytes], str] | None = None
) -> list[dict[str, Any]]:
    """Send pieces of audio to a socket, in messages of `text` if given, and return its events up to the end."""
    return asyncio.run(_stream(url, pieces, end, first, text or (lambda piece: piece)))


async def _stream(
    url: str, pieces: Sequence[bytes], end: str, first: str | None, message: Callable[[bytes], str | bytes]
) -> list[dict[str, Any]]:
    async def send() -> None:
        if first is not None:
            await socket.send(first)
        for piece in pieces:
            await socket.send(message(piece))
        for each in end.splitlines():
            await socket.send(each)

    events: list[dict[str, Any]] = []
    open_items: set[str] = set()
    cleared = False
    async with connect(url, max_size=None, open_timeout=60, ping_interval=None) as socket:
        sending = asyncio.create_task(send())
        async for received in socket:
            event = json.loads(received)
            if event["type"] != "partial":
                events.append(event)
            if event["type"] == "input_audio_buffer.committed":
                open_items.add(event["item_id"])
            open_items.discard(event["item_id"] if event["type"].endswith("transcription.completed") else "")
            cleared |= event["type"] == "input_audio_buffer.cleared"
            if cleared and not open_items:
                break  # OpenAI's protocol has no end
        await sending
    return events


def segments_of(url: str, pieces: Sequence[bytes], protocol: str) -> list[str]:
    """Return the text of each segment, turn or result of a socket."""
    address = url.replace("http", "ws", 1)
    match protocol:
        case "native":
            events = stream(f"{address}/v1/stream?language=auto", pieces, end='{"type": "end"}')
            return [event["text"] for event in events if event["type"] == "segment"]
        case "without segments":
            events = stream(f"{address}/v1/stream?endpoint=false", pieces, end='{"type": "end"}')
            return [event["text"] for event in events if event["type"] in {"segment", "final"}][-1:]
        case "Deepgram listen":
            query = "encoding=linear16&sample_rate=16000&endpointing=1000"
            events = stream(f"{address}/v1/listen?{query}", pieces, end='{"type": "CloseStream"}')
            finals = [event for event in events if event["type"] == "Results" and event["is_final"]]
            return [event["channel"]["alternatives"][0]["transcript"] for event in finals]
        case "Deepgram turns":
            query = "model=flux-general-multi&encoding=linear16&sample_rate=16000"
            events = stream(f"{address}/v2/listen?{query}", pieces, end='{"type": "CloseStream"}')
            return [event["transcript"] for event in events if event.get("event") == "EndOfTurn"]
    audio = {
        "format": {"type": "audio/pcm", "rate": 16000},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 1000},
    }
    session = {"type": "session.update", "session": {"type": "transcription", "audio": {"input": audio}}}
    events = stream(
        f"{address}/v1/realtime?intent=transcription", pieces, first=json.dumps(session),
        end='{"type": "input_audio_buffer.commit"}\n{"type": "input_audio_buffer.clear"}', text=_append,
    )  # fmt: skip
    return [event["transcript"] for event in events if event["type"].endswith("transcription.completed")]


def _append(piece: bytes) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(piece).decode()})


def file_as(url: str, pcm: bytes, response_format: str) -> str:
    """Return the answer for the whole audio as a file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(pcm)
    form = {"model": "whisper-1", "response_format": response_format}
    answer = httpx.post(
        f"{url}/v1/audio/transcriptions", data=form, files={"file": ("speech.wav", buffer.getvalue())}, timeout=None
    )
    return answer.raise_for_status().text


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--files", action=argparse.BooleanOptionalAction, default=True, help="also SRT and TXT")
    parser.add_argument("--only", help="one of the protocols, for servers that take long")
    given = parser.parse_args()
    protocols = [name for name in PROTOCOLS if given.only in {None, name} or name == "without segments"]
    clips = [clip for clip in load_clips(given.manifest) if "numbers" not in clip.name]
    samples, _ = joined(clips, given.minutes * 60, seed=1, longest=_LONGEST_PAUSE)
    pcm = (samples * 32767).astype("<i2").tobytes()
    pieces = [pcm[start : start + _PIECE] for start in range(0, len(pcm), _PIECE)]
    with ThreadPoolExecutor(len(protocols)) as pool:
        running = {name: pool.submit(segments_of, given.url, pieces, name) for name in protocols}
        parts = {name: each.result() for name, each in running.items()}
    [whole] = parts.pop("without segments")
    print(f"{given.minutes:g} minutes, {len(whole.split())} words")
    for name, each in parts.items():
        show(name, each, whole)
    if given.files:
        show("SRT", [line for cue in read_srt(file_as(given.url, pcm, "srt")) for line in cue.lines], whole)
        show("TXT", file_as(given.url, pcm, "text").splitlines(), whole)


def show(name: str, parts: Sequence[str], whole: str) -> None:
    """Print what an output does to the words."""
    cuts = cut(parts, whole)
    print(f"{name}: {sum(map(bool, parts))} parts, {len(cuts)} cut words: {', '.join(cuts[:5])}", flush=True)


if __name__ == "__main__":
    main()
