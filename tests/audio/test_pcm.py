"""Raw PCM from a stream."""

import io
import os
import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from legato.audio.pcm import pcm_blocks


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=20))
def test_pcm_in_pieces_of_any_size(data: bytes, cuts: list[int]) -> None:
    class Pieces(io.RawIOBase):
        def __init__(self) -> None:
            self.rest, self.cuts = data, list(cuts)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            size = min(self.cuts.pop(0) if self.cuts else 7, len(buffer), len(self.rest))
            buffer[:size] = self.rest[:size]
            self.rest = self.rest[size:]
            return size

    whole = np.frombuffer(data[: len(data) & ~1], "<i2").astype(np.float32) / 32768
    blocks = list(pcm_blocks(io.BufferedReader(Pieces()), block_ms=5))
    assert all(0 < len(block) <= 80 for block in blocks)
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, np.float32), *blocks]), whole)


def test_live_pcm_is_not_held_back() -> None:
    reading, writing = os.pipe()
    came = threading.Event()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        blocks = []

        def read() -> None:
            for block in pcm_blocks(source):
                blocks.append(block)
                came.set()

        thread = threading.Thread(target=read)
        thread.start()
        sink.write(b"\x00\x40" * 10)
        assert came.wait(30)  # the pipe is still open, and ten samples are there
        assert len(blocks[0]) == 10
        sink.close()
        thread.join(30)
    assert sum(map(len, blocks)) == 10
