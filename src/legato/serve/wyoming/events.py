"""The events of a Wyoming client, read within limits and checked."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, TypeGuard

from wyoming.event import Event

from legato.audio.pcm import AudioFormat, Encoding
from legato.serve.errors import ApiError

#: Bytes of the line of JSON that begins an event.
LINE_BYTES = 1 << 16

# 8 bits are signed, as in the library of the protocol.
_ENCODINGS: dict[int, Encoding] = {1: "pcm8", 2: "pcm16", 3: "pcm24", 4: "pcm32"}


async def read_head(reader: asyncio.StreamReader) -> bytes | None:
    """Return the line that begins the next event; None if the client has closed the connection after the last one.

    It may be canceled and called again.

    Args:
        reader: with a limit of `LINE_BYTES`.

    Raises:
        ApiError: the line is too long.
        ConnectionError: the connection ended within an event.
    """
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial.strip():
            return None
        raise ConnectionResetError("The client disconnected within an event.") from None
    except asyncio.LimitOverrunError:
        raise ApiError(413, f"The line of an event is longer than {LINE_BYTES} bytes.", code="too_large") from None


async def read_event(line: bytes, reader: asyncio.StreamReader, max_bytes: int) -> Event:
    """Return the event that a line begins.

    The reader of the protocol's own library accepts events of any size.

    Args:
        line: from `read_head`.
        max_bytes: limit for the additional data, and for the payload.

    Raises:
        ApiError: the bytes are not an event, or the event is too large.
        ConnectionError: the connection ended within an event.
    """
    head = _object(line)
    kind = head.get("type")
    if not isinstance(kind, str):
        raise ApiError(400, "The event has no 'type'.", code="invalid_event")
    data = head.get("data") or {}
    if not isinstance(data, dict):
        raise ApiError(400, "The 'data' of an event must be an object.", code="invalid_event")
    try:
        if length := _length(head, "data_length", max_bytes):
            data = {**data, **_object(await reader.readexactly(length))}
        length = _length(head, "payload_length", max_bytes)
        payload = await reader.readexactly(length) if length else b""
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("The client disconnected within an event.") from None
    return Event(kind, data, payload)


def audio_format_of(data: Mapping[str, Any]) -> AudioFormat:
    """Return the audio format that `audio-start` or `audio-chunk` announces.

    Raises:
        ApiError: a field is missing or wrong.
    """
    numbers = [value for name in ("rate", "width", "channels") if _is_whole(value := data.get(name))]
    if len(numbers) < 3:
        raise ApiError(400, "Audio needs 'rate', 'width' and 'channels' as whole numbers.", code="invalid_audio")
    rate, width, channels = numbers
    if width not in _ENCODINGS:
        raise ApiError(400, f"Samples of {width} bytes are not understood. Use 1 to 4.", code="invalid_audio")
    try:
        return AudioFormat(_ENCODINGS[width], rate, channels)
    except ValueError as error:
        raise ApiError(400, str(error), code="invalid_audio") from None


def text_of(data: Mapping[str, Any], name: str) -> str | None:
    """Return a field of an event if it is a text."""
    value = data.get(name)
    return value if isinstance(value, str) else None


def texts_of(data: Mapping[str, Any], name: str) -> list[str]:
    """Return the texts in a field of an event if it is a list."""
    values = data.get(name)
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        message = "This is not an event of Wyoming, which begins with a line of JSON."
        raise ApiError(400, message, code="invalid_event")
    return value


def _length(head: Mapping[str, Any], name: str, max_bytes: int) -> int:
    length = head.get(name)
    if length is None:
        return 0
    if not _is_whole(length) or length < 0:
        raise ApiError(400, f"The {name!r} of an event must be a number of bytes.", code="invalid_event")
    if length > max_bytes:
        message = f"The {name!r} of an event is {length}, and at most {max_bytes} are accepted."
        raise ApiError(413, message, code="too_large")
    return length


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
