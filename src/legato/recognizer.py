"""The recognizer: a loaded model that opens streams and transcribes files."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from legato.audio.arrays import blocks_of, check_samples
from legato.audio.blocks import AudioBlocks
from legato.audio.channels import Channels
from legato.audio.given import AudioInput, channel_count, open_given
from legato.chunks import FRAME_MS
from legato.decode.dispatch import Decoder
from legato.decode.ngram import NGram, open_ngram
from legato.decode.phrase_trie import PhraseTrie
from legato.decode.phrases import Phrases, compile_phrases
from legato.decode.transducer import Transducer
from legato.errors import AudioError
from legato.model.bundle import Bundle, open_bundle
from legato.model.languages import AUTO
from legato.model.registry import resolve
from legato.options import StreamKeywords, StreamOptions
from legato.runtime.cores import default_threads
from legato.runtime.encoder import Encoder
from legato.runtime.features import LogMel
from legato.runtime.open import open_graphs
from legato.streaming.collect import Collector, merge_channels
from legato.streaming.pipeline import Pipeline
from legato.streaming.state import StreamState
from legato.streaming.stream import Stream
from legato.types import Confidence, Frames, Samples, Transcript

logger = logging.getLogger("legato")

#: Encoder frames of a file that one call computes at most (1.28 s), in whole chunks. More are hardly faster, and take
#: memory.
FILE_FRAMES = 16


class Recognizer:
    """A loaded model. It keeps no state between calls, so any number of threads may share it.

    Attributes:
        bundle: the model folder that it was loaded from.
        pipeline: the way of the audio through the model.
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
        decoder = Decoder(transducer, bundle.sizes.max_symbols, confidence or Confidence())
        self.pipeline = Pipeline(bundle, front_end, encoder, decoder)
        self._warned: set[int | str] = set()

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz that streams expect."""
        return self.bundle.mel.sample_rate

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the model's training, and `auto` first if the model can detect the language.

        `bundle.prompts` has every name that `language` may have, other languages too.
        """
        return (*([AUTO] if AUTO in self.bundle.prompts else []), *self.bundle.spoken_languages)

    @property
    def confidence(self) -> Confidence:
        """How the confidence of tokens, words and segments is measured."""
        return self.pipeline.decoder.confidence

    def transcribe(
        self,
        audio: AudioInput,
        options: StreamOptions | None = None,
        /,
        *,
        channels: Channels = "mix",
        track: int | str | None = None,
        progress: Callable[[float], None] | None = None,
        **keywords: Unpack[StreamKeywords],
    ) -> Transcript:
        """Transcribe a file of any format, a network address, or samples.

        Args:
            audio: path of a file with an audio track, an address such as `https://...` as a string, an open binary
                file, the bytes of a file, or samples: an array [n] or [n, channels] (or what NumPy converts to one),
                floats in [-1, 1] or integers of full scale, or an iterator of such arrays.
            options: the options; by default those of `StreamOptions`. Without `endpoint` the segments are sentences.
            channels: `mix` averages the channels; a number reads only that one, counted from 0; `split` transcribes
                each and joins the segments by time, with the channel as speaker.
            track: the audio track of a file: a number from 0, a language, or `all`; by default the container's default.
            progress: called with the seconds of audio that are done.
            keywords: fields of `StreamOptions`, which replace those of `options`.

        Raises:
            AudioError, LanguageError, ChunkSizeError, PhraseError, NGramError: what was wrong and what to do.
            ValueError: a number out of range, or unknown `channels`.
        """
        if not isinstance(channels, int) and channels not in {"mix", "split"}:
            raise ValueError(f"channels must be 'mix', 'split' or a number, not {channels!r}")
        chosen = StreamOptions.of(options, **keywords).compiled(self.bundle)
        rate = chosen.sample_rate
        if channels != "split":
            channel = None if channels == "mix" else channels
            with open_given(audio, sample_rate=rate, channel=channel, track=track) as blocks:
                return self._transcribe(blocks, progress, chosen)
        transcripts: list[Transcript] = []
        count = channel_count(audio)

        def part(seconds: float) -> None:
            if progress:
                progress((sum(each.duration for each in transcripts) + seconds) / count)

        for channel in range(count):
            with open_given(audio, sample_rate=rate, channel=channel, track=track) as blocks:
                transcript = self._transcribe(blocks, part, chosen, warn=not channel)
            transcripts.append(transcript)
        return merge_channels(transcripts)

    def stream(self, options: StreamOptions | None = None, /, **keywords: Unpack[StreamKeywords]) -> Stream:
        """Open a live stream.

        Args:
            options: the options; by default those of `StreamOptions`. Without `endpoint` only a commit ends a segment.
            keywords: fields of `StreamOptions`, which replace those of `options`.

        Raises:
            LanguageError, ChunkSizeError, PhraseError, NGramError: what the model cannot do.
            LegatoError: Silero VAD is requested and not installed, or endpoints together with beam search.
            ValueError: a number out of range.
        """
        return Stream(self, self.start(options, **keywords))

    def compile_phrases(self, phrases: Phrases) -> PhraseTrie | None:
        """Prepare phrases for many streams; a compiled trie is returned as it is.

        Raises:
            PhraseError: a phrase is empty, cannot be spelled by the vocabulary, or its weight is out of range.
        """
        return compile_phrases(phrases, self.bundle.pieces)

    def open_ngram(self, path: str | Path) -> NGram:
        """Read an n-gram over the model's pieces for many streams.

        Raises:
            NGramError: it cannot be read, or belongs to another vocabulary.
        """
        return open_ngram(Path(path), self.bundle.pieces)

    def encode(self, samples: NDArray[np.generic], *, language: str = AUTO, chunk_ms: int = 320) -> Frames:
        """Return the encoder frames after the language prompt, as the joint receives them: float32[T, width].

        Args:
            samples: as for `transcribe`.
            language, chunk_ms: as in `StreamOptions`; T is one frame per 80 ms.
        """
        state = self.start(language=language, chunk_ms=chunk_ms)
        frames = [np.zeros((0, self.bundle.sizes.width), np.float32)]
        for _ in self._fed(state, blocks_of(check_samples(samples))):
            while count := self.pipeline.ready(state, _file_step(state)):
                frames.append(self.pipeline.encode(state, count))
        return np.concatenate(frames)

    def start(self, options: StreamOptions | None = None, /, **keywords: Unpack[StreamKeywords]) -> StreamState:
        """Return the state of a new stream; arguments and errors as for `stream`."""
        state = self.pipeline.start(StreamOptions.of(options, **keywords))
        self._warn_untrained(state.audio.encoder.chunk)
        self._warn_unspoken(state.language)
        return state

    def _transcribe(
        self,
        blocks: AudioBlocks,
        progress: Callable[[float], None] | None,
        options: StreamOptions,
        *,
        warn: bool = True,
    ) -> Transcript:
        """Transcribe open audio; `warn` logs what was wrong with it, which is the same for all channels of a file."""
        state, pipeline, collector = self.start(options), self.pipeline, Collector()
        for _ in self._fed(state, blocks):
            while count := pipeline.ready(state, _file_step(state)):
                collector.add(pipeline.step([state], count)[0])
                if progress and not state.audio.encoder.ended:
                    progress(state.audio.encoder.done * self.bundle.frame_seconds)
        collector.add(pipeline.conclude(state))
        if progress:
            progress(pipeline.labels.duration(state))
        if warn:
            for warning in blocks.warnings:
                logger.warning("%s: %s", blocks.name, warning)
        return replace(collector.transcript, partial=not blocks.complete)

    def _fed(self, state: StreamState, blocks: Iterable[Samples]) -> Iterator[None]:
        """Feed block after block and then the end; yield after each."""
        for block in blocks:
            self.pipeline.feed(state, block)
            yield
        if not state.audio.samples:
            raise AudioError("The audio is empty: it has no samples. Use a recording of at least 10 ms.")
        self.pipeline.feed(state, np.zeros(0, np.float32), last=True)
        yield

    def _warn_untrained(self, chunk: int) -> None:
        """Warn once that the model was not trained with chunks of this size."""
        if chunk - 1 not in self.bundle.right_contexts and chunk not in self._warned:
            self._warned.add(chunk)
            trained = ", ".join(str((right + 1) * FRAME_MS) for right in sorted(self.bundle.right_contexts))
            logger.warning(
                "The model %s was trained with chunks of %s ms, not of %d ms: expect more errors.",
                self.bundle.name,
                trained,
                chunk * FRAME_MS,
            )

    def _warn_unspoken(self, language: str) -> None:
        """Warn once that the model was not trained on this language."""
        if language not in self._warned and (warning := self.bundle.language_warning(language)):
            self._warned.add(language)
            logger.warning("%s", warning)


def _file_step(state: StreamState) -> int:
    """Return the encoder frames per step of a file: whole chunks."""
    chunk = state.audio.encoder.chunk
    return max(1, FILE_FRAMES // chunk) * chunk


def load(
    name_or_path: str | Path | None = None, *, threads: int | None = None, confidence: Confidence | None = None
) -> Recognizer:
    """Load a model.

    Args:
        name_or_path: a model folder, the name of a downloaded model, or None for the best available one: a downloaded
            full model, else the small embedded one.
        threads: threads of the encoder; by default one for a small model, else the cores that this process may use, at
            most 4.
        confidence: how the confidence of tokens, words and segments is measured; by default `max_prob` and `min`.

    Raises:
        BundleError: there is no such model, or it is incomplete or altered.
        TypeError: `confidence` is no `Confidence`.
        ValueError: `threads` is less than 1.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be 1 or more, not {threads}")
    if confidence is not None and not isinstance(confidence, Confidence):
        raise TypeError(
            f"confidence must be a legato.Confidence, not {confidence!r}. "
            "Calibrated confidences are an option of transcribe and stream: confidence='calibrated'."
        )
    bundle = open_bundle(resolve(name_or_path).path)
    return load_bundle(bundle, threads=threads or default_threads(bundle.path), cached=True, confidence=confidence)


def load_bundle(
    bundle: Bundle, *, threads: int, prepack: bool = True, cached: bool = False, confidence: Confidence | None = None
) -> Recognizer:
    """Load the graphs of an open bundle.

    Args:
        bundle: the open bundle.
        threads: threads of the encoder.
        prepack: without it, weights stay in the file's pages: slower and smaller.
        cached: load the optimized copy in the cache folder, which is made for a large INT8 bundle.
        confidence: as for `load`.

    Raises:
        BundleError: ONNX Runtime cannot load a graph.
    """
    encoder, transducer = open_graphs(bundle, threads, prepack=prepack, cached=cached)
    return Recognizer(bundle, LogMel(bundle.mel), encoder, transducer, confidence)
