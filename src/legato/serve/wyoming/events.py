"""Wyoming's events as they come from a client: read within limits, and checked."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from wyoming.event import Event

from legato.serve.core.audio_format import Encoding, Wire
from legato.serve.errors import ApiError

LINE_BYTES = 1 << 16
"""What the line of JSON that begins an event may take."""

# 8 bits are signed, as the protocol's own library takes them.
_ENCODINGS: dict[int, Encoding] = {1: "pcm8", 2: "pcm16", 3: "pcm24", 4: "pcm32"}


async def read_event(reader: asyncio.StreamReader, max_bytes: int) -> Event | None:
    """Read the next event; None when the client has closed the connection between two.

    The reader of the protocol's library takes what it is told to, however large.

    Args:
        reader: with a limit of `LINE_BYTES`.
        max_bytes: for the additional data, and for the payload.

    Raises:
        ApiError: it is no event, or too large.
        ConnectionError: the connection ended in the middle of it.
    """
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial.strip():
            return None
        raise ConnectionResetError("The client left in the middle of an event.") from None
    except asyncio.LimitOverrunError:
        raise ApiError(413, f"The line of an event is longer than {LINE_BYTES} bytes.", code="too_large") from None
    head = _object(line)
    kind = head.get("type")
    if not isinstance(kind, str):
        raise ApiError(400, "An event without 'type'.", code="invalid_event")
    data = head.get("data") or {}
    if not isinstance(data, dict):
        raise ApiError(400, "The 'data' of an event is no object.", code="invalid_event")
    try:
        if length := _length(head, "data_length", max_bytes):
            data = {**data, **_object(await reader.readexactly(length))}
        length = _length(head, "payload_length", max_bytes)
        payload = await reader.readexactly(length) if length else b""
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("The client left in the middle of an event.") from None
    return Event(kind, data, payload)


def wire_of(data: Mapping[str, Any]) -> Wire:
    """Give the form of the audio that `audio-start` and `audio-chunk` announce.

    Raises:
        ApiError: it lacks something, or is not understood.
    """
    numbers = [value for name in ("rate", "width", "channels") if _is_whole(value := data.get(name))]
    if len(numbers) < 3:
        raise ApiError(400, "Audio needs 'rate', 'width' and 'channels' as whole numbers.", code="invalid_audio")
    rate, width, channels = numbers
    if width not in _ENCODINGS:
        raise ApiError(400, f"Samples of {width} bytes: 1 to 4 are understood.", code="invalid_audio")
    try:
        return Wire(_ENCODINGS[width], rate, channels)
    except ValueError as error:
        raise ApiError(400, str(error), code="invalid_audio") from None


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ApiError(400, "That is no event of Wyoming: a line of JSON was expected.", code="invalid_event")
    return value


def _length(head: Mapping[str, Any], name: str, max_bytes: int) -> int:
    length = head.get(name)
    if length is None:
        return 0
    if not _is_whole(length) or length < 0:
        raise ApiError(400, f"The {name!r} of an event is no number of bytes.", code="invalid_event")
    if length > max_bytes:
        raise ApiError(413, f"The {name!r} of an event is {length}: at most {max_bytes} are taken.", code="too_large")
    return length


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
