"""The recogniser: a loaded model that makes streams and transcribes files."""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from legato.audio.channels import Channels, merge
from legato.audio.source import channel_count, check_channel, check_samples, one_channel, open_audio
from legato.decode.confidence import Confidence
from legato.decode.dispatch import DEFAULT_NGRAM_WEIGHT, Decoding
from legato.decode.greedy import start_search
from legato.decode.ngram import NGram, open_ngram
from legato.decode.phrases import Phrases, PhraseTrie, compile_phrases
from legato.errors import AudioError, ChunkSizeError, LegatoError
from legato.model.bundle import AUTO, Bundle, open_bundle
from legato.model.registry import resolve
from legato.runtime.encoder import Encoder, open_encoder
from legato.runtime.features import Frames, LogMel, MelState, Samples
from legato.runtime.session import default_threads
from legato.runtime.transducer import OnnxTransducer, Transducer
from legato.runtime.vad import VadState, silero
from legato.streaming.endpointing import Endpointing, with_segments
from legato.streaming.stream import (
    Stream,
    StreamState,
    blocks_of,
    conclude,
    duration,
    encode,
    ending,
    feed,
    search,
    transcript_of,
)
from legato.types import Event, Segment, Transcript

logger = logging.getLogger("legato")

FRAME_MS = 80
#: Encoder frames of a file that one call computes at most (1.28 s), in whole chunks. More are little faster, and take
#: memory.
FILE_FRAMES = 16


class Options(TypedDict, total=False):
    """Keyword arguments of `Recognizer.stream` and of the engine's streams; `Recognizer.transcribe` explains them."""

    language: str
    chunk_ms: int
    phrases: Phrases
    beam: int
    lm: str | Path | NGram | None
    lm_weight: float
    endpoint: Endpointing | None


class Recognizer:
    """A loaded model. It keeps no state between calls, so any number of threads may share it.

    Attributes:
        bundle: the model folder it was loaded from.
        front_end, encoder, transducer: the rooms that audio walks through.
        confidence: which confidence tokens, words and segments get.
    """

    def __init__(
        self,
        bundle: Bundle,
        front_end: LogMel,
        encoder: Encoder,
        transducer: Transducer,
        confidence: Confidence | None = None,
    ) -> None:
        self.bundle = bundle
        self.front_end = front_end
        self.encoder = encoder
        self.transducer = transducer
        self.confidence = confidence or Confidence()
        self._start = start_search(transducer)
        self._untrained_said: set[int] = set()

    @property
    def sample_rate(self) -> int:
        """Samples a second that streams expect."""
        return self.bundle.mel.sample_rate

    @property
    def languages(self) -> tuple[str, ...]:
        """Names that `language` may have, `auto` included."""
        return tuple(sorted(self.bundle.prompts))

    def transcribe(
        self,
        audio: str | Path | NDArray[np.generic] | Iterator[Samples],
        *,
        language: str = AUTO,
        chunk_ms: int = 320,
        endpoint: Endpointing | None = None,
        phrases: Phrases = (),
        beam: int = 1,
        lm: str | Path | NGram | None = None,
        lm_weight: float = DEFAULT_NGRAM_WEIGHT,
        channels: Channels = "mix",
        progress: Callable[[float], None] | None = None,
    ) -> Transcript:
        """Transcribe a file of any format, a network address, or samples.

        Args:
            audio: path of a file with an audio track, an address such as `https://...` as a string, or audio at the
                model's sample rate: an array, float32 or int16, [n] or [n, channels], or an iterator over mono blocks,
                float32[n].
            language: a locale or language code that the model knows, or `auto`.
            chunk_ms: 80, 160, 320, 560 or 1120: how far ahead the model may look.
            endpoint: when a segment ends; without it the segments are sentences. It needs greedy search.
            phrases: what is to be recognised more readily: texts, or texts with weights (nats a token, default 2); or
                what `compile_phrases` made of them, once for many streams.
            beam: hypotheses that are kept; 1 is greedy search, the quickest.
            lm: an n-gram over the model's pieces: an ARPA file, or what `open_ngram` made of it. It is for a beam of 4
                or more.
            lm_weight: factor of the n-gram's logarithms.
            channels: `mix` averages them; a number hears only that one, counted from 0; `split` transcribes each and
                joins the segments by time, with the channel as speaker.
            progress: is called with the seconds of audio done so far.

        Raises:
            AudioError, LanguageError, ChunkSizeError, PhraseError, NGramError: what was wrong and what to do.
        """
        if not isinstance(channels, int) and channels not in {"mix", "split"}:
            raise ValueError(f"channels must be 'mix', 'split' or a number, not {channels!r}")
        options: Options = {
            "language": language, "chunk_ms": chunk_ms, "endpoint": endpoint,
            "phrases": self.compile_phrases(phrases), "beam": beam,
            "lm": self.open_ngram(lm) if isinstance(lm, str | Path) else lm, "lm_weight": lm_weight,
        }  # fmt: skip
        if channels != "split":
            channel = None if channels == "mix" else channels
            return self._transcribe(audio, channel, progress, options)
        if isinstance(audio, Iterator):
            raise AudioError("An iterator gives mono blocks: there are no channels to tell apart.")
        transcripts: list[Transcript] = []
        count = channel_count(audio)

        def part(seconds: float) -> None:
            if progress:
                progress((sum(each.duration for each in transcripts) + seconds) / count)

        for channel in range(count):
            transcript = self._transcribe(audio, channel, part, options)
            transcripts.append(transcript)
        return merge(transcripts)

    def _transcribe(
        self,
        audio: str | Path | NDArray[np.generic] | Iterator[Samples],
        channel: int | None,
        progress: Callable[[float], None] | None,
        options: Options,
    ) -> Transcript:
        """Transcribe one channel, or all averaged."""
        state = self.start(**options)
        events: list[Event] = []
        if isinstance(audio, str | Path):
            with open_audio(audio, channel=channel) as blocks:
                self._run(state, blocks, progress, events)
                if not channel:  # what is wrong with a file is the same for all its channels
                    for warning in blocks.warnings:
                        logger.warning("%s: %s", audio, warning)
        elif isinstance(audio, Iterator):
            if channel is not None:
                check_channel(channel, 1, "audio")
            self._run(state, audio, progress, events)
        else:
            samples = audio if channel is None else one_channel(audio, channel)
            self._run(state, blocks_of(check_samples(samples), self.sample_rate), progress, events)
        if state.rules is None:
            return transcript_of(self, state)
        segments = [event for event in (*events, *ending(self, state)) if isinstance(event, Segment)]
        return with_segments(segments, transcript_of(self, state))

    def stream(self, **options: Unpack[Options]) -> Stream:
        """Open a live stream; arguments and errors as for `transcribe`.

        Without `endpoint` only `commit` ends a segment.
        """
        return Stream(self, self.start(**options))

    def compile_phrases(self, phrases: Phrases) -> PhraseTrie | None:
        """Prepare phrases for many streams; what is prepared stays as it is.

        Raises:
            PhraseError: the model cannot spell one, or it is empty, or its weight is out of range.
        """
        return compile_phrases(phrases, self.bundle.pieces)

    def open_ngram(self, path: str | Path) -> NGram:
        """Read an n-gram over the model's pieces for many streams.

        Raises:
            NGramError: it cannot be read, or is of another vocabulary.
        """
        return open_ngram(Path(path), self.bundle.pieces)

    def encode(self, samples: NDArray[np.generic], *, language: str = AUTO, chunk_ms: int = 320) -> Frames:
        """Encoder frames behind the language prompt, as the joint gets them: float32[T, width], T a frame per 80 ms."""
        state = self.start(language=language, chunk_ms=chunk_ms)
        collected = [np.zeros((0, self.bundle.sizes.width), np.float32)]
        self._run(state, blocks_of(check_samples(samples), self.sample_rate), None, [], collect=collected.append)
        return np.concatenate(collected)

    def start(
        self,
        *,
        language: str = AUTO,
        chunk_ms: int = 320,
        endpoint: Endpointing | None = None,
        phrases: Phrases = (),
        beam: int = 1,
        lm: str | Path | NGram | None = None,
        lm_weight: float = DEFAULT_NGRAM_WEIGHT,
    ) -> StreamState:
        """State of a new stream; arguments and errors as for `transcribe`.

        Raises:
            LegatoError: Silero VAD is wanted and not installed, or endpoints with beam search.
        """
        decoding = Decoding(
            self.compile_phrases(phrases),
            beam,
            self.open_ngram(lm) if isinstance(lm, str | Path) else lm,
            lm_weight,
            frozenset(self.bundle.language_tags),
        )
        if endpoint is not None and decoding.holds_back:
            raise LegatoError(
                "Endpoints need a search that decides at once: leave out the beam and the n-gram, or the endpoints."
            )
        slot = self.bundle.prompt_slot(language)
        chunk, rest = divmod(chunk_ms, FRAME_MS)
        if rest or chunk < 1:
            raise ChunkSizeError(f"A chunk of {chunk_ms} ms is impossible: give 80, 160, 320, 560 or 1120 ms.")
        encoder = self.encoder.start(slot, chunk)
        self._warn_untrained(chunk, chunk_ms)
        voice = None
        if endpoint is not None and endpoint.vad == "silero":
            silero(self.sample_rate)  # tells here what is missing, not in the middle of the audio
            voice = VadState()
        place = decoding.begin(self._start)
        return StreamState(language, MelState(), encoder, place, place, endpoint, decoding, voice=voice)

    def _warn_untrained(self, chunk: int, chunk_ms: int) -> None:
        """Say once that the model was not trained with chunks of this size."""
        if chunk - 1 not in self.bundle.right_contexts and chunk not in self._untrained_said:
            self._untrained_said.add(chunk)
            trained = ", ".join(str((right + 1) * FRAME_MS) for right in sorted(self.bundle.right_contexts))
            logger.warning(
                "The model %s was not trained with chunks of %d ms (but with %s ms): more errors are to be expected.",
                self.bundle.name, chunk_ms, trained,
            )  # fmt: skip

    def _run(
        self,
        state: StreamState,
        blocks: Iterable[Samples],
        progress: Callable[[float], None] | None,
        events: list[Event],
        collect: Callable[[Frames], None] | None = None,
    ) -> None:
        """Take whole blocks through the model, many chunks a call; `events` gets the segments that end.

        With `collect` the frames go there instead of to the search.
        """
        step = max(1, FILE_FRAMES // state.encoder.chunk) * state.encoder.chunk
        for block in blocks:
            feed(self, state, block, last=False)
            while self.encoder.ready(state.encoder) >= step:
                self._frames(state, step, events, collect)
                if progress:
                    progress(state.encoder.done * self.bundle.frame_seconds)
        if not state.samples:
            raise AudioError("The audio is empty: it holds no samples. Give a recording of at least 10 ms.")
        feed(self, state, np.zeros(0, np.float32), last=True)
        while frames := min(self.encoder.ready(state.encoder), step):
            self._frames(state, frames, events, collect)
        if not collect:
            conclude(self, state)
        if progress:
            progress(duration(self, state))

    def _frames(
        self, state: StreamState, frames: int, events: list[Event], collect: Callable[[Frames], None] | None
    ) -> None:
        encoded = encode(self, state, frames)
        if collect:
            collect(encoded)
        else:
            events += (event for event in search(self, state, encoded) if isinstance(event, Segment))


def load(
    name_or_path: str | Path | None = None, *, threads: int | None = None, confidence: Confidence | None = None
) -> Recognizer:
    """Load a model.

    Args:
        name_or_path: a model folder, the name of a downloaded model, or None for the best model at hand: a downloaded
            full model, else the small embedded one.
        threads: threads for the encoder; by default the cores this process may use, at most 4.
        confidence: how the confidence of tokens, words and segments is measured; by default `max_prob` and `min`.

    Raises:
        BundleError: no such model, or it is incomplete or altered.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be 1 or more, not {threads}")
    bundle = open_bundle(resolve(name_or_path).path)
    return load_bundle(bundle, threads=threads or default_threads(), confidence=confidence)


def load_bundle(
    bundle: Bundle, *, threads: int, prepack: bool = True, confidence: Confidence | None = None
) -> Recognizer:
    """Load the graphs of an open bundle; without `prepack` weights stay in the file's pages, slower and smaller."""
    return Recognizer(
        bundle,
        LogMel(bundle.mel),
        open_encoder(bundle, threads, prepack=prepack),
        OnnxTransducer(bundle, 1, prepack=prepack),
        confidence,
    )
