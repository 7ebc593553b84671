"""Place decoded audio at its timestamps: what is missing between two frames becomes silence."""

LONGEST_GAP_SECONDS = 3600.0
"""The longest gap that is filled with silence. A longer one is taken as an error of the timestamps."""

_TOLERANCE = 0.03
"""Seconds by which timestamps may lag or lead: those of many containers are rounded, or come from a clock. Below one
frame of the models (80 ms), so a difference of this size does not move a word."""

_RESTART = 0.5
"""Seconds by which a timestamp must go back to be the start of a new count."""


class Timeline:
    """The position of the audio of one track on the time line of its container.

    Args:
        origin: the timestamp, in seconds, at which the time line starts.

    Attributes:
        position: seconds from the start to the end of the last frame.
        jumps: pairs of a position and the seconds of a gap there that was too long to be filled.
    """

    def __init__(self, origin: float) -> None:
        self._origin = origin
        self.position = 0.0
        self.jumps: list[tuple[float, float]] = []

    @property
    def end(self) -> float:
        """The position of the end of the last frame, with the gaps that were too long to be filled."""
        return self.position + sum(gap for _, gap in self.jumps)

    def silence_before(self, start: float | None) -> float:
        """Return the seconds of silence between the last frame and one with this timestamp.

        Args:
            start: timestamp in seconds; None where the container has none, and the frame follows the last one.
        """
        if start is None:
            return 0.0
        gap = start - self._origin - self.position
        if gap < -_RESTART:
            self._origin += gap
        if gap <= _TOLERANCE:
            return 0.0
        if gap > LONGEST_GAP_SECONDS:
            self.jumps.append((self.position, gap))
            self._origin += gap
            return 0.0
        return gap

    def advance(self, seconds: float) -> None:
        """Move the position past audio or silence."""
        self.position += seconds
