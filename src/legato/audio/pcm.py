"""Read raw PCM samples, which have no container, as they arrive."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from legato.audio.arrays import scaled
from legato.audio.resample import SAMPLE_RATE, Samples


def pcm_blocks(file: BinaryIO, block_ms: int = 100) -> Iterator[Samples]:
    """Read raw PCM: signed 16-bit little-endian, mono, 16 kHz.

    Args:
        file: a binary stream such as `sys.stdin.buffer`. Each block is returned as soon as it arrives: live input is
            not delayed until a block is full.
        block_ms: the length of the largest block, in milliseconds.

    Yields:
        float32[n], 0 < n <= 16 * block_ms. An odd last byte is dropped.
    """
    size = max(2, 2 * SAMPLE_RATE * block_ms // 1000)
    read = getattr(file, "read1", file.read)
    rest = b""
    while data := read(size - len(rest)):
        data = rest + data
        whole = len(data) & ~1
        rest = data[whole:]
        if whole:
            yield scaled(np.frombuffer(data[:whole], "<i2"))
