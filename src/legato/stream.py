"""One utterance stream: samples in, events out. Its whole state is one dataclass."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from legato.audio import check_samples
from legato.decoding import Decoding, Place, end_search, search_rows
from legato.encoder import FACTOR, EncoderState
from legato.errors import LegatoError
from legato.features import Frames, MelState, Samples
from legato.search import Emission
from legato.text import TextBuilder, split_words
from legato.transcript import Event, Final, Partial, Token, Transcript

if TYPE_CHECKING:
    from legato.recognizer import Recognizer


#: Seconds of an array that go into a state at a time.
_BLOCK_SECONDS = 10


@dataclass
class StreamState:
    """Everything that a stream remembers; a deep copy of it continues elsewhere, bit for bit.

    Attributes:
        language: the language that was asked for, `auto` included.
        mel, encoder, search: the states of the three rooms that audio walks through.
        samples: samples heard so far, without padding.
        tokens: every token so far.
        text: the text so far.
        detected: the last language tag that was emitted.
        decoding: how it is searched.
    """

    language: str
    mel: MelState
    encoder: EncoderState
    search: Place
    samples: int = 0
    tokens: list[Token] = field(default_factory=list)
    text: TextBuilder = field(default_factory=TextBuilder)
    detected: str | None = None
    decoding: Decoding = field(default_factory=Decoding)


class Stream:
    """A live utterance. Made by `Recognizer.stream`; not to be used by two threads at once.

    The same audio gives the same events, bit for bit, however it is cut into pieces.
    """

    def __init__(self, recognizer: "Recognizer", state: StreamState) -> None:
        self.state = state
        self._recognizer = recognizer
        self._finished = False

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._finished = True

    def accept(self, samples: NDArray[np.generic]) -> list[Event]:
        """Hear the next samples.

        Args:
            samples: mono audio at the model's sample rate, float32[n] in [-1, 1] or int16[n]; n may be 0.

        Returns:
            A `Partial` for every chunk that brought new tokens, in order.

        Raises:
            AudioError: NaN or infinite samples, or a wrong shape; the stream is as it was before and can go on.
            LegatoError: the stream is finished.
        """
        if self._finished:
            raise LegatoError("The stream is finished. Open a new one with recognizer.stream().")
        events: list[Event] = []
        for block in blocks_of(check_samples(samples, allow_empty=True), self._recognizer.sample_rate):
            events += self._advance(block, last=False)
        return events

    def finish(self) -> list[Event]:
        """End the utterance: the rest of the audio is recognised.

        Returns:
            The last `Partial`, if there are new tokens, and the `Final`.
        """
        if self._finished:
            raise LegatoError("The stream is finished already.")
        events = self._advance(np.zeros(0, np.float32), last=True)
        self._finished = True
        return [*events, *conclude(self._recognizer, self.state), Final(self.transcript)]

    @property
    def transcript(self) -> Transcript:
        """What has been recognised so far."""
        return transcript_of(self._recognizer, self.state)

    def _advance(self, samples: Samples, *, last: bool) -> list[Event]:
        recognizer, state = self._recognizer, self.state
        feed(recognizer, state, samples, last=last)
        events: list[Event] = []
        while frames := min(recognizer.encoder.ready(state.encoder), state.encoder.chunk):
            events += advance(recognizer, [state], frames)[0]
        return events


def blocks_of(samples: Samples, rate: int) -> Iterable[Samples]:
    """Cut a long array: what waits in a state is copied with every step, so it must not be hours."""
    size = rate * _BLOCK_SECONDS
    return (samples[start : start + size] for start in range(0, len(samples), size))


def feed(recognizer: "Recognizer", state: StreamState, samples: Samples, *, last: bool) -> None:
    """Samples to mel frames, and those to the encoder's state."""
    state.samples += len(samples)
    if last and (missing := -state.samples % recognizer.encoder.window_samples):
        samples = np.concatenate([samples, np.zeros(missing, np.float32)])
    mel, state.mel = recognizer.front_end.accept(samples, state.mel, last=last)
    state.encoder = state.encoder.accept(mel, last=last)


def advance(recognizer: "Recognizer", states: Sequence[StreamState], frames: int) -> list[list[Event]]:
    """One step of the encoder and of the search over several streams in one batch.

    Args:
        recognizer: the model.
        states: streams with `frames` frames ready, or ended with fewer left. When the step raises, they are unchanged.
        frames: encoder frames to compute.

    Returns:
        For every stream the `Partial` that came of it, if there are new tokens.
    """
    stepped = recognizer.encoder.step([state.encoder for state in states], frames)
    found = search_rows(
        recognizer.transducer,
        [encoded for encoded, _ in stepped],
        [state.search for state in states],
        recognizer.bundle.sizes.max_symbols,
    )
    events: list[list[Event]] = []
    for state, (_, encoder), (emissions, place) in zip(states, stepped, found, strict=True):
        first = state.encoder.done
        state.encoder, state.search = encoder, place
        new = _note(recognizer, state, emissions, first)
        events.append([Partial(state.text.text, tuple(new), used(recognizer, state))] if new else [])
    return events


def conclude(recognizer: "Recognizer", state: StreamState) -> list[Event]:
    """End the search when all frames are searched: the `Partial` of the tokens that it still held back, if any."""
    emissions, state.search = end_search(state.search)
    new = _note(recognizer, state, emissions, state.encoder.done)
    return [Partial(state.text.text, tuple(new), used(recognizer, state))] if new else []


def encode(recognizer: "Recognizer", state: StreamState, frames: int) -> Frames:
    """One step of the encoder over `frames` frames that are ready: float32[n, width]."""
    [(encoded, state.encoder)] = recognizer.encoder.step([state.encoder], frames)
    return encoded


def search(recognizer: "Recognizer", state: StreamState, encoded: Frames) -> None:
    """Search the encoder frames that `encode` returned, and note the new tokens in the state."""
    [(emissions, state.search)] = search_rows(
        recognizer.transducer, [encoded], [state.search], recognizer.bundle.sizes.max_symbols
    )
    _note(recognizer, state, emissions, state.encoder.done - len(encoded))


def _note(recognizer: "Recognizer", state: StreamState, emissions: Sequence[Emission], first: int) -> list[Token]:
    """Note the emissions of a search that began at encoder frame `first`, and return their tokens."""
    bundle = recognizer.bundle
    new = []
    for emission in emissions:
        frame = first + emission.frame
        token = Token(emission.token, bundle.pieces[emission.token], round(frame * bundle.frame_seconds, 3), frame)
        new.append(token)
        if tag := bundle.language_tags.get(token.id):
            state.detected = tag
        else:
            state.text.add(token.piece)
    state.tokens += new
    return new


def used(recognizer: "Recognizer", state: StreamState) -> float:
    """Seconds of audio that the encoder frames so far depend on; the same however the audio was cut."""
    seconds = samples_for(recognizer, state.encoder.done) / recognizer.sample_rate
    return round(min(seconds, duration(recognizer, state)), 3)


def samples_for(recognizer: "Recognizer", frames: int) -> int:
    """Samples from the start of a stream that its first `frames` encoder frames depend on."""
    mel = recognizer.bundle.mel
    newest_mel_frame = FACTOR * (frames - 1)
    return newest_mel_frame * mel.hop_length + mel.window_length // 2


def duration(recognizer: "Recognizer", state: StreamState) -> float:
    """Seconds of audio heard."""
    return state.samples / recognizer.bundle.mel.sample_rate


def transcript_of(recognizer: "Recognizer", state: StreamState) -> Transcript:
    """The transcript of a state."""
    bundle = recognizer.bundle
    asked = None if state.language == "auto" else state.language
    return Transcript(
        text=state.text.text,
        language=state.detected or asked,
        tokens=tuple(state.tokens),
        words=split_words([t for t in state.tokens if t.id not in bundle.language_tags], bundle.frame_seconds),
        duration=round(duration(recognizer, state), 3),
    )
