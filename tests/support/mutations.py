"""Random changes of files."""

import json
import random
from typing import Any

ODD_VALUES: tuple[object, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**40, 1e300, -1.5, "", "x", "\x00", "\ud800", "9" * 5000, [], [1, "2"], {},
    {"a": 1}, [[[[]]]], "1e5", "/dev/zero", "..",
)  # fmt: skip


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
