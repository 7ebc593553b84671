"""A live stream as its caller holds it: samples in, events out."""

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from legato.audio.arrays import blocks_of
from legato.streaming.controls import Commit, Control, Controlled
from legato.streaming.intake import Intake
from legato.streaming.pipeline import Pipeline, require_open
from legato.streaming.state import StreamState
from legato.types import Event, Samples, Transcript


class Model(Protocol):
    """What a stream needs of a recognizer: its pipeline."""

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline of the loaded model."""
        ...


class Stream(Controlled[list[Event]]):
    """A live stream, made by `Recognizer.stream`; one thread at a time may use it.

    The same audio gives the same events, bit for bit, however it is divided into pieces.

    Args:
        recognizer: the loaded model.
        state: the state to continue from; `Recognizer.start` makes a new one.
    """

    def __init__(self, recognizer: Model, state: StreamState) -> None:
        self.state = state
        self._pipeline = recognizer.pipeline
        self._intake = Intake(state.options.sample_rate, self._pipeline.bundle.mel.sample_rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.state.finished = True

    def accept(self, samples: NDArray[np.generic]) -> list[Event]:
        """Accept the next samples.

        Args:
            samples: mono audio at the stream's sample rate, float32[n] in [-1, 1] or int16[n]; n may be 0.

        Returns:
            A `Partial` for every chunk with new tokens and a `Segment` at every endpoint, in order.

        Raises:
            AudioError: NaN or infinite samples, or a wrong shape; the stream is unchanged and can continue.
            LegatoError: the stream is finished.
        """
        require_open(self.state)
        return self._process(self._intake.read(samples))

    def finish(self) -> list[Event]:
        """End the stream: the rest of the audio is recognized.

        Returns:
            The last `Partial` if there are new tokens; with endpoints the last `Segment` if it has text; the `Final`.

        Raises:
            LegatoError: the stream is finished.
        """
        require_open(self.state)
        events = self._process(self._intake.flush())
        self._pipeline.feed(self.state, np.zeros(0, np.float32), last=True)
        return [*events, *self._pipeline.run(self.state), *self._pipeline.conclude(self.state)]

    def apply(self, control: Control) -> list[Event]:
        """Apply a control to the audio accepted so far; return the events that it causes.

        Raises:
            LanguageError, PhraseError: what the model cannot do; nothing changes.
            LegatoError: what the stream cannot take up (nothing changes), or the stream is finished.
        """
        require_open(self.state)
        checked = self._pipeline.checked(self.state.options, control)
        events = self._process(self._intake.flush()) if isinstance(control, Commit) and not control.wait else []
        return [*events, *self._pipeline.apply(self.state, checked)]

    @property
    def transcript(self) -> Transcript:
        """The transcript so far: of the open segment, once there are segments."""
        return self._pipeline.labels.transcript(self.state)

    def _process(self, samples: Samples) -> list[Event]:
        events: list[Event] = []
        for block in blocks_of(samples):
            self._pipeline.feed(self.state, block)
            events += self._pipeline.run(self.state)
        return events
