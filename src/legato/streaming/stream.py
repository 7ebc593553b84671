"""One utterance stream: samples in, events out. Its whole state is one dataclass."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from legato.audio.source import check_samples
from legato.decode.dispatch import Decoding, Place, end_search
from legato.decode.greedy import Emission, SearchState
from legato.decode.phrases import Phrases, PhraseTrie
from legato.errors import LegatoError
from legato.runtime.encoder import FACTOR, EncoderState
from legato.runtime.features import Frames, MelState, Samples
from legato.runtime.vad import WINDOW, VadState, silero
from legato.streaming.endpointing import NEVER, Endpointing, EndpointState, next_segment
from legato.streaming.frame_buffer import Track
from legato.streaming.monitor import LIMIT_SECONDS, GuardState, levels
from legato.streaming.spans import Stretch, search_stretches
from legato.text.pieces import TextBuilder, split_words
from legato.text.sentences import split_segments
from legato.types import Event, Final, Partial, Reason, Segment, Token, Transcript

if TYPE_CHECKING:
    from legato.recognizer import Recognizer


logger = logging.getLogger("legato")

#: Seconds of an array that go into a state at a time.
_BLOCK_SECONDS = 10


@dataclass
class StreamState:
    """Everything that a stream remembers; a deep copy of it continues elsewhere, bit for bit.

    Attributes:
        language: the language that was asked for, `auto` included.
        mel, encoder, search: the states of the three rooms that audio walks through.
        fresh: state of the search at the start of a segment.
        rules: when segments end; None when only `commit` ends them.
        decoding: how it is searched.
        samples: samples heard so far, without padding.
        tokens: every token of the open segment; without segments, of the stream.
        text: its text so far.
        detected: the last language tag that was emitted in it.
        ending: what the rules remember.
        searched: encoder frames that the search is done with; a commit puts it ahead of the encoder.
        border: seconds where the open segment began.
        closed: segments given out.
        told: language of the last one.
        voice, voices: the voice activity detector's state, if there is one, and what it heard, a value a window.
        guard, levels: the watch on streams without text, and loudness, a value a mel frame.
    """

    language: str
    mel: MelState
    encoder: EncoderState
    search: Place
    fresh: Place
    rules: Endpointing | None = None
    decoding: Decoding = field(default_factory=Decoding)
    samples: int = 0
    tokens: list[Token] = field(default_factory=list)
    text: TextBuilder = field(default_factory=TextBuilder)
    detected: str | None = None
    ending: EndpointState = field(default_factory=EndpointState)
    searched: int = 0
    border: float = 0.0
    closed: int = 0
    told: str | None = None
    voice: VadState | None = None
    voices: Track = field(default_factory=Track)
    guard: GuardState = field(default_factory=GuardState)
    levels: Track = field(default_factory=Track)


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
            A `Partial` for every chunk that brought new tokens, and a `Segment` at every endpoint, in order.

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
            The last `Partial`, if there are new tokens; with endpoints the last `Segment`, if it has text; the `Final`.
        """
        if self._finished:
            raise LegatoError("The stream is finished already.")
        events = self._advance(np.zeros(0, np.float32), last=True)
        self._finished = True
        return [*events, *ending(self._recognizer, self.state)]

    def commit(self) -> list[Event]:
        """End the segment here, whatever the rules say: all that was heard is recognised as if nothing followed.

        The stream goes on. What is emitted for audio before the commit belongs to this segment alone, so a word that is
        being spoken is cut.

        Returns:
            The last `Partial`, if there are new tokens, and always a `Segment`, be its text empty.
        """
        if self._finished:
            raise LegatoError("The stream is finished. Open a new one with recognizer.stream().")
        return commit(self._recognizer, self.state)

    def set_language(self, language: str) -> None:
        """Go on in another language, or `auto`, from the next chunk on; what is heard already is not affected.

        Raises:
            LanguageError: the model has no such prompt; nothing changes.
        """
        if self._finished:
            raise LegatoError("The stream is finished. Open a new one with recognizer.stream().")
        set_language(self._recognizer, self.state, language)

    def set_endpoint(self, rules: Endpointing | None) -> None:
        """Go on with other rules for the end of segments; a segment that is open goes on under them.

        Raises:
            LegatoError: the stream has a beam, or began without the voice activity detector that they ask.
        """
        if self._finished:
            raise LegatoError("The stream is finished. Open a new one with recognizer.stream().")
        check_endpoint(self.state, rules)
        self.state.rules = rules

    def set_phrases(self, phrases: Phrases) -> None:
        """Go on with other phrases, or none, from the next chunk on.

        Raises:
            PhraseError: the model cannot spell one, or it is empty, or its weight is out of range.
            LegatoError: the stream has a beam.
        """
        if self._finished:
            raise LegatoError("The stream is finished. Open a new one with recognizer.stream().")
        check_phrases(self.state)
        set_phrases(self.state, self._recognizer.compile_phrases(phrases))

    @property
    def transcript(self) -> Transcript:
        """What has been recognised so far: of the open segment, once there are segments."""
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
    if state.voice is not None:
        voices, state.voice = silero(recognizer.sample_rate).hear(samples, state.voice)
        state.voices = state.voices.extended(voices)
    state.samples += len(samples)
    if last and (missing := -state.samples % recognizer.encoder.window_samples):
        samples = np.concatenate([samples, np.zeros(missing, np.float32)])
    mel, state.mel = recognizer.front_end.accept(samples, state.mel, last=last)
    state.levels = state.levels.extended(levels(mel))
    state.encoder = state.encoder.accept(mel, last=last)


def advance(recognizer: "Recognizer", states: Sequence[StreamState], frames: int) -> list[list[Event]]:
    """One step of the encoder and of the search over several streams in one batch.

    Args:
        recognizer: the model.
        states: streams with `frames` frames ready, or ended with fewer left. When the step raises, they are unchanged.
        frames: encoder frames to compute.

    Returns:
        For every stream what came of it: a `Partial` if there are new tokens, a `Segment` at an endpoint.
    """
    stepped = recognizer.encoder.step([state.encoder for state in states], frames)
    firsts = [state.encoder.done for state in states]
    found = search_stretches(recognizer, [encoded for encoded, _ in stepped], states, firsts)
    events: list[list[Event]] = []
    for state, (_, encoder), stretches, first in zip(states, stepped, found, firsts, strict=True):
        state.encoder = encoder
        events.append(_settle(recognizer, state, stretches, first))
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


def search(recognizer: "Recognizer", state: StreamState, encoded: Frames) -> list[Event]:
    """Search the encoder frames that `encode` returned; events as those of `advance`."""
    first = state.encoder.done - len(encoded)
    [stretches] = search_stretches(recognizer, [encoded], [state], [first])
    return _settle(recognizer, state, stretches, first)


def commit(recognizer: "Recognizer", state: StreamState) -> list[Event]:
    """End the segment with the audio heard so far; see `Stream.commit`.

    The rest of the audio goes through the encoder as if the stream ended. Then the encoder is put back, to see the same
    audio again with what follows it, and the search passes over the frames that it has seen.
    """
    before = state.mel, state.encoder, state.voices, state.levels
    events: list[Event] = []
    try:
        feed(recognizer, state, np.zeros(0, np.float32), last=True)
        while frames := min(recognizer.encoder.ready(state.encoder), state.encoder.chunk):
            events += advance(recognizer, [state], frames)[0]
        events += conclude(recognizer, state)
        heard = round(duration(recognizer, state) / recognizer.bundle.frame_seconds, 6)
        searched = min(state.encoder.done, int(heard) + 1)
    finally:
        state.mel, state.encoder, state.voices, state.levels = before
    state.searched = max(state.searched, searched)
    state.ending = next_segment(state.rules or NEVER, state.ending)
    return [*events, _close(recognizer, state, duration(recognizer, state), "commit")]


def ending(recognizer: "Recognizer", state: StreamState) -> list[Event]:
    """The last events of a stream whose frames are all searched."""
    events = conclude(recognizer, state)
    if (state.rules or state.closed) and state.text.text:
        events.append(_close(recognizer, state, duration(recognizer, state), "end"))
    return [*events, Final(transcript_of(recognizer, state))]


def set_language(recognizer: "Recognizer", state: StreamState, language: str) -> None:
    """Exchange the prompt; see `Stream.set_language`."""
    state.encoder = replace(state.encoder, prompt=recognizer.bundle.prompt_slot(language))
    state.language = language
    state.detected = state.told = None
    state.guard = state.guard.anew()


def check_endpoint(state: StreamState, rules: Endpointing | None) -> None:
    """Refuse rules that a stream cannot take up; see `Stream.set_endpoint`."""
    if rules is not None and state.decoding.holds_back:
        raise LegatoError("Endpoints need a search that decides at once, and this stream has a beam or an n-gram.")
    if rules is not None and rules.vad != "none" and state.voice is None:
        raise LegatoError("A voice activity detector cannot join later: open the stream with it.")


def check_phrases(state: StreamState) -> None:
    """Refuse other phrases for a stream that cannot take them up; see `Stream.set_phrases`."""
    if not isinstance(state.search, SearchState):
        raise LegatoError("Other phrases need greedy search, and this stream has a beam or an n-gram.")


def set_phrases(state: StreamState, phrases: PhraseTrie | None) -> None:
    """Exchange the phrases; see `Stream.set_phrases`. What the old ones had begun is forgotten."""
    assert isinstance(state.search, SearchState) and isinstance(state.fresh, SearchState)
    state.search = replace(state.search, phrases=phrases, node=0)
    state.fresh = replace(state.fresh, phrases=phrases, node=0)
    state.decoding = replace(state.decoding, phrases=phrases)


def _settle(recognizer: "Recognizer", state: StreamState, stretches: Sequence[Stretch], first: int) -> list[Event]:
    """Note what was found in a step that began at encoder frame `first`, and return the events."""
    events: list[Event] = []
    for stretch in stretches:
        state.search, state.ending = stretch.search, stretch.endpoint
        _watch(recognizer, state, stretch, first)
        if new := _note(recognizer, state, stretch.emissions, first):
            events.append(Partial(state.text.text, tuple(new), used(recognizer, state)))
        if stretch.reason is not None:
            border = (first + stretch.stop) * recognizer.bundle.frame_seconds
            events.append(_close(recognizer, state, border, stretch.reason))
    done = state.encoder.done
    state.levels = state.levels.after(FACTOR * (done - 1) + 1)
    state.voices = state.voices.after(samples_before(recognizer, done - 1) // WINDOW)
    return events


def _watch(recognizer: "Recognizer", state: StreamState, stretch: Stretch, first: int) -> None:
    """Let the guard hear the frames of a stretch; it says once what it suspects."""
    suspected = state.guard.suspicious
    tags = recognizer.bundle.language_tags
    spelled = [max(emission.frame, stretch.start) for emission in stretch.emissions if emission.token not in tags]
    for frame in range(stretch.start, stretch.stop):
        last = FACTOR * (first + frame)
        heard = state.levels.between(last - FACTOR + 1, last + 1)
        if len(heard):
            seconds = recognizer.bundle.frame_seconds
            state.guard = state.guard.hear(float(heard.max()), spelled.count(frame), seconds)
    if state.guard.suspicious and not suspected:
        logger.warning(
            "More than %d s that sound like speech gave next to no text (language: %s). Is it another language? Music "
            "and noise are other causes.",
            LIMIT_SECONDS, state.language,
        )  # fmt: skip


def _close(recognizer: "Recognizer", state: StreamState, end: float, reason: Reason) -> Segment:
    """End the open segment, and begin the next."""
    heard = transcript_of(recognizer, state)
    start, end = round(state.border, 3), round(max(state.border, end), 3)
    sure = recognizer.confidence.of_all([word.confidence for word in heard.words]) if heard.words else 1.0
    segment = Segment(
        heard.text, start, end, heard.language, heard.tokens, heard.words, reason, heard.mostly_blank, round(sure, 4)
    )
    state.tokens, state.text, state.detected = [], TextBuilder(), None
    state.border, state.told = end, heard.language
    state.closed += 1
    return segment


def _note(recognizer: "Recognizer", state: StreamState, emissions: Sequence[Emission], first: int) -> list[Token]:
    """Note the emissions of a search that began at encoder frame `first`, and return their tokens."""
    bundle = recognizer.bundle
    new = []
    for emission in emissions:
        frame = first + emission.frame
        time = round(frame * bundle.frame_seconds, 3)
        token = Token(emission.token, bundle.pieces[emission.token], time, frame, round(emission.confidence, 4))
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


def samples_before(recognizer: "Recognizer", frame: int) -> int:
    """Samples before an encoder frame begins."""
    return max(0, frame) * FACTOR * recognizer.bundle.mel.hop_length


def duration(recognizer: "Recognizer", state: StreamState) -> float:
    """Seconds of audio heard."""
    return state.samples / recognizer.bundle.mel.sample_rate


def transcript_of(recognizer: "Recognizer", state: StreamState) -> Transcript:
    """The transcript of a state."""
    bundle = recognizer.bundle
    asked = None if state.language == "auto" else state.language
    spoken = [token for token in state.tokens if token.id not in bundle.language_tags]
    words = split_words(spoken, bundle.frame_seconds, recognizer.confidence)
    return Transcript(
        text=state.text.text,
        language=state.detected or asked or state.told,
        tokens=tuple(state.tokens),
        words=words,
        duration=round(duration(recognizer, state), 3),
        segments=split_segments(
            state.text.text, state.tokens, words, bundle.language_tags, asked or state.told, recognizer.confidence
        ),
        mostly_blank=state.guard.suspicious,
    )
