"""The time grid of the model family: frames, chunks and what they are called in milliseconds."""

#: Mel frames per encoder frame: three causal strides of 2 (NeMo `ConvSubsampling`, `subsampling_factor`).
SUBSAMPLING_FACTOR = 8
#: Milliseconds of an encoder frame.
FRAME_MS = 80
#: Right contexts (encoder frames of lookahead) that the family is run with, ascending.
RIGHT_CONTEXTS = (0, 1, 3, 6, 13)
#: The same as chunk sizes in milliseconds: a chunk is the right context and one frame.
CHUNK_SIZES_MS = tuple((right + 1) * FRAME_MS for right in RIGHT_CONTEXTS)
DEFAULT_CHUNK_MS = 320


def listing(values: tuple[int, ...] = CHUNK_SIZES_MS) -> str:
    """Return numbers as a text for messages and help, such as `80, 160, 320, 560 or 1120`."""
    *first, end = map(str, values)
    return f"{', '.join(first)} or {end}" if first else end
