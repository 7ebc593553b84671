"""What the scripts of Python clients share: the server's address, speech, and reports of steps as JSON lines."""

import asyncio
import difflib
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from pathlib import Path

#: Address of the server, such as http://127.0.0.1:8000.
URL = os.environ["LEGATO_URL"]
SOCKET_URL = URL.replace("http", "ws", 1)
WYOMING_PORT = int(os.environ["LEGATO_WYOMING_PORT"])
#: Folder of the clips: `en.wav` (16 kHz), `en-16000.pcm`, `en-24000.pcm`, and so on.
CLIPS = Path(os.environ["LEGATO_CLIPS"])
#: Seconds to be mute: longer than the server's idle limit.
MUTE = float(os.environ["LEGATO_MUTE_SECONDS"])
TEXTS: dict[str, str] = json.loads((CLIPS / "texts.json").read_text(encoding="utf-8"))
#: Hints that the vocabulary cannot spell as they are, and one that it can.
HINTS = ["GPT-4", "Node.js", "Room 42", "\u2603", "fretting"]
#: Seconds that a step may take.
TIMEOUT = 60


def wav(language: str) -> Path:
    """Return the path of a clip as a WAV file, 16 kHz."""
    return CLIPS / f"{language}.wav"


def pcm(language: str, rate: int = 16000) -> bytes:
    """Return a clip as 16-bit PCM."""
    return (CLIPS / f"{language}-{rate}.pcm").read_bytes()


def silence(seconds: float, rate: int = 16000) -> bytes:
    """Return silence as 16-bit PCM."""
    return bytes(2 * round(seconds * rate))


def pieces(data: bytes, rate: int = 16000, seconds: float = 0.1) -> Iterator[bytes]:
    """Split 16-bit PCM into pieces of the given duration."""
    size = 2 * round(rate * seconds)
    for start in range(0, len(data), size):
        yield data[start : start + size]


def check(text: str, language: str = "en") -> None:
    """Check that a transcript is that of a clip, apart from a few characters.

    Raises:
        AssertionError: it is another text.
    """
    expected = TEXTS[language]
    got = " ".join(text.lower().split())
    likeness = difflib.SequenceMatcher(None, got, expected, autojunk=False).ratio()
    assert likeness > 0.75, f"got {text!r} instead of {expected!r}"


@contextmanager
def step(interface: str, name: str) -> Iterator[None]:
    """Report whether the block succeeds. A failure does not end the script."""
    _write(interface=interface, step=name)
    began = time.monotonic()
    try:
        yield
    except (Exception, asyncio.CancelledError) as error:
        message = f"{type(error).__name__}: {error}"
        _write(interface=interface, step=name, ok=False, message=" ".join(message.split())[:300])
    else:
        _write(interface=interface, step=name, ok=True, seconds=round(time.monotonic() - began, 1))


@asynccontextmanager
async def async_step(interface: str, name: str) -> AsyncIterator[None]:
    """Do the same as `step`, for a block that may wait for at most `TIMEOUT` seconds."""
    with step(interface, name):
        async with asyncio.timeout(TIMEOUT):
            yield


def versions(*packages: str) -> None:
    """Report the versions of the client's packages."""
    _write(versions={package: version(package) for package in packages})


def _write(**fields: object) -> None:
    print(json.dumps(fields), flush=True)
