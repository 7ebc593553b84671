"""The path of the audio: samples -> mel frames -> encoder frames -> tokens -> events.

Streams, files and the engine use the same pipeline. It keeps no state between calls: all that a stream remembers is
in its `StreamState`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from legato.decode.dispatch import Decoder
from legato.decode.greedy import GreedyState
from legato.decode.phrase_trie import PhraseTrie
from legato.decode.phrases import compile_phrases
from legato.errors import LegatoError
from legato.model.bundle import Bundle
from legato.options import NEVER, StreamOptions
from legato.runtime.encoder import Encoder
from legato.runtime.features import LogMel
from legato.runtime.vad import VadState, silero
from legato.streaming.controls import Commit, Control, SetEndpoint, SetLanguage, SetPhrases
from legato.streaming.endpointing import next_segment
from legato.streaming.labels import Labels
from legato.streaming.monitor import levels
from legato.streaming.recorder import Recorder, samples_for
from legato.streaming.spans import SpanDecoder
from legato.streaming.state import AudioState, DecodingState, StreamState
from legato.types import Confidence, Event, Final, Frames, Samples

_NOTHING = np.zeros(0, np.float32)


class Pipeline:
    """A model as streams use it.

    Attributes:
        bundle: the model folder.
        front_end: samples -> mel frames.
        encoder: mel frames -> encoder frames.
        decoder: encoder frames -> emissions.
        labels: emissions -> tokens, segments and transcripts.
    """

    def __init__(self, bundle: Bundle, front_end: LogMel, encoder: Encoder, decoder: Decoder) -> None:
        self.bundle = bundle
        self.front_end = front_end
        self.encoder = encoder
        self.decoder = decoder
        self.labels = Labels(bundle, decoder.confidence)
        self._spans = SpanDecoder(self.labels, decoder)
        self._recorder = Recorder(self.labels, decoder)

    def start(self, options: StreamOptions) -> StreamState:
        """Return the state of a new stream.

        Raises:
            LanguageError, ChunkSizeError, PhraseError, NGramError: what the model cannot do.
            LegatoError: Silero VAD is requested and not installed, endpoints together with beam search or an n-gram, or
                calibrated confidences of a model without calibration.
            ValueError: `beam` or `lm_weight` is out of range.
        """
        options = options.compiled(self.bundle)
        if options.calibration(self.bundle) and self.decoder.confidence != Confidence():
            raise LegatoError("A calibration is of the default confidence: load the model without 'confidence'.")
        first = self.decoder.start(options.decoding(self.bundle))
        slot = self.bundle.prompt_slot(options.language)
        encoder = self.encoder.start(slot, options.chunk_frames)
        vad = None
        if options.detects_voice:
            silero(self.bundle.mel.sample_rate)  # fails here if its package is missing, not in the middle of the audio
            vad = VadState()
        return StreamState(
            options, options.language, options.endpoint, AudioState(encoder, vad=vad), DecodingState(first, first)
        )

    def feed(self, state: StreamState, samples: Samples, *, last: bool = False) -> None:
        """Accept samples: compute their mel frames, which then wait for the encoder.

        Args:
            samples: float32[n], mono, at the model's rate, finite; n may be 0.
            last: the audio ends with them.

        Raises:
            LegatoError: the stream is finished.
        """
        require_open(state)
        audio = state.audio
        vad, speech = audio.vad, audio.speech
        if vad is not None:
            detected, vad = silero(self.bundle.mel.sample_rate).accept(samples, vad)
            speech = speech.extended(detected)
        count = audio.samples + len(samples)
        if last and (missing := -count % self.encoder.window_samples):
            samples = np.concatenate([samples, np.zeros(missing, np.float32)])
        mel, mel_state = self.front_end.accept(samples, audio.mel, last=last)
        encoder = audio.encoder.accept(mel, last=last)
        state.audio = AudioState(encoder, mel_state, count, audio.levels.extended(levels(mel)), vad, speech)

    def ready(self, state: StreamState, frames: int | None = None) -> int:
        """Return the encoder frames that the next step can compute.

        Args:
            frames: frames per step, a whole number of chunks; by default one chunk.

        Returns:
            `frames`; or 0 while fewer are ready; or the rest at the end of the audio.
        """
        encoder = state.audio.encoder
        size = frames or encoder.chunk
        ready = self.encoder.ready(encoder)
        if ready >= size:
            return size
        return ready if encoder.ended else 0

    def run(self, state: StreamState, frames: int | None = None) -> list[Event]:
        """Compute all steps of one stream that are ready; arguments as for `ready`."""
        events: list[Event] = []
        while count := self.ready(state, frames):
            events += self.step([state], count)[0]
        return events

    def step(self, states: Sequence[StreamState], frames: int) -> list[list[Event]]:
        """Compute one step of several streams in one batch.

        Args:
            states: streams with `frames` frames ready, or at their end with fewer left. If the step raises, they are
                unchanged.
            frames: encoder frames to compute.

        Returns:
            Per stream its events: a `Partial` if there are new tokens, a `Segment` at an endpoint.
        """
        stepped = self.encoder.step([state.audio.encoder for state in states], frames)
        firsts = [state.audio.encoder.done for state in states]
        decoded = self._spans.decode([encoded for encoded, _ in stepped], states, firsts)
        events: list[list[Event]] = []
        for state, (_, encoder), spans, first in zip(states, stepped, decoded, firsts, strict=True):
            state.audio = replace(state.audio, encoder=encoder)
            events.append(self._recorder.record(state, spans, first))
        return events

    def encode(self, state: StreamState, frames: int) -> Frames:
        """Compute encoder frames of one stream without decoding them: float32[n, width] after the language prompt."""
        [(encoded, encoder)] = self.encoder.step([state.audio.encoder], frames)
        state.audio = replace(state.audio, encoder=encoder)
        return encoded

    def checked(self, options: StreamOptions, control: Control) -> Control:
        """Check a control against the options that its stream was opened with. Any thread may call it.

        Returns:
            The control, its phrases compiled.

        Raises:
            LanguageError, PhraseError: what the model cannot do.
            LegatoError: what the stream cannot take up; see `legato.streaming.controls`.
            TypeError: no control.
        """
        match control:
            case SetLanguage(language):
                self.bundle.prompt_slot(language)
            case SetEndpoint(endpoint) if endpoint is not None and options.holds_back:
                raise LegatoError("Endpoints need greedy search, and this stream has a beam or an n-gram.")
            case SetEndpoint(endpoint) if endpoint is not None and endpoint.vad != "none" and not options.detects_voice:
                raise LegatoError("A voice activity detector cannot be added later. Open the stream with it.")
            case SetPhrases() if options.holds_back:
                raise LegatoError("Phrases can change in greedy search only, and this stream has a beam or an n-gram.")
            case SetPhrases(phrases):
                return SetPhrases(compile_phrases(phrases, self.bundle.pieces))
            case Commit() | SetEndpoint():
                pass
            case _:
                raise TypeError(f"a control is Commit, SetLanguage, SetEndpoint or SetPhrases, not {control!r:.60}")
        return control

    def apply(self, state: StreamState, control: Control) -> list[Event]:
        """Apply a control that `checked` returned; return the events that it causes.

        Raises:
            LegatoError: the stream is finished.
        """
        require_open(state)
        match control:
            case Commit(wait=True) if not state.options.holds_back:
                frame = math.ceil(round(self.labels.duration(state) / self.bundle.frame_seconds, 6))
                state.commits = (*state.commits, frame)
            case Commit():
                return self._commit(state)
            case SetLanguage(language):
                self._set_language(state, language)
            case SetEndpoint(endpoint):
                state.endpoint = endpoint
            case SetPhrases(phrases):
                assert phrases is None or isinstance(phrases, PhraseTrie)
                self._set_phrases(state, phrases)
        return []

    def conclude(self, state: StreamState) -> list[Event]:
        """Finish a stream whose frames are all computed: return its last `Partial`, its last `Segment`, its `Final`."""
        require_open(state)
        events = self._recorder.release(state) + self._recorder.answer_commits(state)
        if (state.endpoint or state.closed) and state.segment.text.text:
            events.append(self.labels.close(state, self.labels.duration(state), "end"))
        state.finished = True
        return [*events, Final(self.labels.transcript(state))]

    def samples_for(self, frames: int) -> int:
        """Return the number of samples from the start of a stream that its first `frames` encoder frames depend on."""
        return samples_for(self.bundle.mel, frames)

    def _commit(self, state: StreamState) -> list[Event]:
        """Close the segment with the audio accepted so far.

        The rest of the audio goes through the encoder as if the stream ended. Then the encoder's state is restored:
        the audio is encoded again with what follows, and frames that were decoded already are skipped.
        """
        before = state.audio
        events: list[Event] = []
        accepted = int(self.labels.duration(state) / self.bundle.frame_seconds + 1e-6) + 1
        done = state.decoding.done
        if accepted > done:  # otherwise less than a frame has come since the last commit, and nothing is to be decoded
            try:
                self.feed(state, _NOTHING, last=True)
                events += self.run(state)
                events += self._recorder.release(state)
                done = min(state.audio.encoder.done, accepted)
            finally:
                state.audio = before
        rules = next_segment(state.endpoint or NEVER, state.decoding.rules)
        state.decoding = replace(state.decoding, rules=rules, done=max(state.decoding.done, done))
        events += self._recorder.answer_commits(state)
        return [*events, self.labels.close(state, self.labels.duration(state), "commit")]

    def _set_language(self, state: StreamState, language: str) -> None:
        encoder = replace(state.audio.encoder, prompt=self.bundle.prompt_slot(language))
        state.audio = replace(state.audio, encoder=encoder)
        state.language = language
        state.segment.language = state.closed_language = None
        state.monitor = state.monitor.reset()

    def _set_phrases(self, state: StreamState, phrases: PhraseTrie | None) -> None:
        """Replace the phrases; partial matches of the old ones are discarded."""
        decoder, fresh = state.decoding.decoder, state.decoding.fresh
        assert isinstance(decoder, GreedyState) and isinstance(fresh, GreedyState)
        state.decoding = replace(
            state.decoding,
            decoder=replace(decoder, phrases=phrases, node=0),
            fresh=replace(fresh, phrases=phrases, node=0),
        )


def require_open(state: StreamState) -> None:
    """Raise LegatoError if the stream is finished."""
    if state.finished:
        raise LegatoError("The stream is finished. Open a new one with recognizer.stream().")
