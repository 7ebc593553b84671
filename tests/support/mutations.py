"""Random changes of files."""

import itertools
import json
import os
import pickletools
import random
import time
from collections.abc import Iterator
from typing import Any

ODD_VALUES: tuple[object, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**40, 1e300, -1.5, "", "x", "\x00", "\ud800", "9" * 5000, [], [1, "2"], {},
    {"a": 1}, [[[[]]]], "1e5", "/dev/zero", "..",
)  # fmt: skip


#: Instructions of pickles that torch does not write, or writes elsewhere.
_INSTRUCTIONS = (
    b"2", b"0", b"(", b")", b"]", b"}", b"N", b"\x88", b"a", b"b", b"e", b"s", b"u", b"t", b"\x85", b"\x86", b"\x87",
    b"R", b"Q", b"\x81", b"\x93", b"\x94", b"h\x00", b"h\x05", b"j\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"K\x00",
    b"J\xff\xff\xff\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"\x8a\xff" + b"\x7f" * 255, b"G\x7f\xf8" + bytes(6),
    b"X\x03\x00\x00\x00\xed\xa0\x80", b"X\x02\x00\x00\x00\x1b[", b"cos\nsystem\n", b"ctorch\nLongStorage\n",
    b"I1\n", b"Va\n", b".",
)  # fmt: skip


def seeds(count: int) -> Iterator[int]:
    """Yield the same seeds in every run: `count` of them, or as many as LEGATO_FUZZ_SECONDS are enough for."""
    began, seconds = time.monotonic(), os.environ.get("LEGATO_FUZZ_SECONDS")
    for seed in range(count) if seconds is None else itertools.count():
        if seconds is not None and time.monotonic() - began > float(seconds):
            return
        yield seed


def mutate_pickle(data: bytes, generator: random.Random) -> bytes:
    """Change instructions: remove, repeat, move, insert, overwrite."""
    starts = [position for _, _, position in pickletools.genops(data)]
    parts = [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
    for _ in range(generator.randint(1, 4)):
        at, other = generator.randrange(len(parts)), generator.randrange(len(parts))
        match generator.randrange(5):
            case 0:
                del parts[at : at + generator.randint(1, 3)]
            case 1:
                parts[at:at] = parts[at : at + generator.randint(1, 20)] * generator.randint(1, 50)
            case 2:
                parts.insert(at, parts.pop(other))
            case 3:
                parts.insert(at, generator.choice(_INSTRUCTIONS) * generator.choice((1, 1, 2, 60)))
            case _:
                parts[at] = generator.choice(_INSTRUCTIONS)
        if not parts:
            break
    return b"".join(parts)


def mutate(data: bytes, generator: random.Random, structured: bool) -> bytes:
    """Change values of JSON, or bytes: flip, cut, repeat, overwrite."""
    if structured and generator.random() < 0.7:
        value = json.loads(data)
        for _ in range(generator.randint(1, 3)):
            place: Any = value
            while isinstance(place, dict | list) and place:
                key = generator.choice(list(place)) if isinstance(place, dict) else generator.randrange(len(place))
                if generator.random() < 0.5 or not isinstance(place[key], dict | list):
                    if generator.random() < 0.2 and isinstance(place, dict):
                        place[str(generator.choice(ODD_VALUES))] = place.pop(key)
                    else:
                        place[key] = generator.choice(ODD_VALUES)
                    break
                place = place[key]
        return json.dumps(value).encode()
    changed = bytearray(data)
    for _ in range(generator.randint(1, 8)):
        at = generator.randrange(len(changed) + 1)
        match generator.randrange(4):
            case 0:
                changed[at : at + 1] = bytes([generator.randrange(256)])
            case 1:
                del changed[at : at + generator.randint(1, 1000)]
            case 2:
                changed[at:at] = changed[at : at + generator.randint(1, 1000)]
            case _:
                changed[at : at + 8] = generator.randbytes(8)
        if not changed:
            break
    return bytes(changed)
