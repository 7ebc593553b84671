"""Audio that FFmpeg decodes, block by block: memory does not grow with the length of the audio."""

from collections.abc import Iterator

import numpy as np

from legato.audio.arrays import refuse_not_finite
from legato.audio.blocks import AudioBlocks, of_equal_length
from legato.audio.resample import SAMPLE_RATE, Resampler
from legato.audio.timeline import LONGEST_GAP_SECONDS, Timeline
from legato.audio.track_decoder import BrokenOffError, Decoder, Frame
from legato.audio.tracks import track_notice
from legato.errors import AudioError
from legato.types import Samples

_SILENCE_SECONDS = 1.0
"""Silence that is made at a time, so that a long gap needs little memory."""


class DecodedAudio(AudioBlocks):
    """Audio from a decoder, placed at its timestamps: gaps are filled with silence.

    Args:
        decoder: is closed with this object.
        name: what messages call the audio.
    """

    def __init__(self, decoder: Decoder, name: str) -> None:
        super().__init__(name)
        self._decoder = decoder
        self.channels = decoder.channels
        self.duration = decoder.duration
        self.tracks = decoder.tracks
        self._end = 0.0  # of the audio so far, in seconds
        self._decoded = 0.0  # the same without the silence that fills gaps
        self._timeline = Timeline(decoder.origin)
        self._gaps = 0.0  # silence between frames
        self._last_fault: int | None = None  # index in `warnings`
        if (notice := track_notice(decoder.tracks, decoder.track)) is not None:
            self.warnings.append(notice)

    def close(self) -> None:
        """Close the source. Closing it again does nothing."""
        self._decoder.close()

    def __iter__(self) -> Iterator[Samples]:
        """Decode the audio.

        Yields:
            float32[n], n <= 160000 (16000 times `block_seconds`); all blocks but the last have that length.

        Raises:
            AudioError: nothing could be decoded, or a sample is NaN or infinite.
        """
        yield from of_equal_length(self._checked(), self.block_seconds)
        if not self._decoded:
            reason = f" ({self.warnings[self._last_fault]})" if self._last_fault is not None else ""
            raise AudioError(f"{self.name}: its audio is empty: 0 samples{reason}. Record or export it again.")
        self._compare()

    def _checked(self) -> Iterator[Samples]:
        read = 0
        for piece in self._resampled():
            refuse_not_finite(piece, self.name, offset=read)
            read += len(piece)
            yield piece

    def _resampled(self) -> Iterator[Samples]:
        resampler = Resampler(SAMPLE_RATE)
        for frame in self._frames():
            if frame.rate != resampler.rate:
                yield resampler.finish()
                resampler = Resampler(frame.rate, self.name)
            for silence in self._silence_before(frame):
                yield resampler.process(silence)
            if len(frame.samples):
                self._advance(len(frame.samples) / frame.rate)
                self._decoded += len(frame.samples) / frame.rate
                yield resampler.process(frame.samples)
        yield resampler.finish()

    def _frames(self) -> Iterator[Frame]:
        """Yield all frames, and note what could not be read."""
        yield from self._noted(self._decoder.frames())

    def _noted(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        damaged, noted = 0, None
        try:
            for frame in frames:
                if frame.fault is not None:
                    damaged += 1
                    if damaged == 1:
                        self._fault(f"the file is damaged at {self._end:.2f} s ({frame.fault})")
                        noted = self._last_fault
                yield frame
        except BrokenOffError as error:
            self._fault(f"the file breaks off at {self._end:.2f} s ({error})")
        if damaged > 1 and noted is not None:
            self.warnings[noted] += f"; {damaged} damaged pieces were left out"
        self.warnings += self._decoder.warnings
        for position, gap in self._timeline.jumps:
            self.warnings.append(
                f"its timestamps jump by {gap:.0f} s at {position:.2f} s; gaps of more than "
                f"{LONGEST_GAP_SECONDS:.0f} s are not filled with silence"
            )

    def _silence_before(self, frame: Frame) -> Iterator[Samples]:
        if frame.fault is not None or not (self._decoded or len(frame.samples)):
            return  # silence is made when audio follows: damage at the end is no audio
        left = round(self._timeline.silence_before(frame.start) * frame.rate)
        while left:
            count = min(left, round(_SILENCE_SECONDS * frame.rate))
            left -= count
            self._advance(count / frame.rate)
            self._gaps += count / frame.rate if self._decoded else 0.0
            yield np.zeros(count, np.float32)

    def _advance(self, seconds: float) -> None:
        self._timeline.advance(seconds)
        self._end += seconds

    def _fault(self, warning: str) -> None:
        """Note that a part of the audio could not be read."""
        self.complete = False
        self._last_fault = len(self.warnings)
        self.warnings.append(warning)

    def _compare(self) -> None:
        """Compare what was read with what the source states."""
