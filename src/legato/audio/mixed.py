"""All audio tracks of a file at once."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np

from legato.audio.blocks import AudioBlocks
from legato.types import Samples


class MixedTracks(AudioBlocks):
    """The sum of several tracks, each at its own timestamps: a call with each speaker in a track, for instance.

    Args:
        tracks: audio of the same file; they are closed with this object.
        name: what messages call the file.
    """

    def __init__(self, tracks: Sequence[AudioBlocks], name: str) -> None:
        super().__init__(name)
        self._tracks = tracks
        self.channels = max(track.channels for track in tracks)
        durations = [track.duration for track in tracks if track.duration is not None]
        self.duration = max(durations, default=None)

    def close(self) -> None:
        """Close all tracks."""
        for track in self._tracks:
            track.close()

    def __iter__(self) -> Iterator[Samples]:
        """Yield the sum of the tracks' blocks. Errors are those of the tracks."""
        for track in self._tracks:
            track.block_seconds = self.block_seconds
        for blocks in zip_longest(*self._tracks, fillvalue=np.zeros(0, np.float32)):
            mixed = np.zeros(max(map(len, blocks)), np.float32)
            for block in blocks:
                mixed[: len(block)] += block
            yield mixed
        self.complete = all(track.complete for track in self._tracks)
        self.changed = any(track.changed for track in self._tracks)
        for number, track in enumerate(self._tracks):
            self.warnings += [f"audio track {number}: {warning}" for warning in track.warnings]
