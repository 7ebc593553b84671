"""The recogniser: a loaded model that makes streams and transcribes files."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from legato.audio import check_samples, open_audio
from legato.bundle import AUTO, Bundle, open_bundle
from legato.encoder import Encoder, open_encoder
from legato.errors import AudioError, ChunkSizeError
from legato.features import Frames, LogMel, MelState, Samples
from legato.models import resolve
from legato.search import start_search
from legato.sessions import default_threads
from legato.stream import Stream, StreamState, blocks_of, duration, encode, feed, search, transcript_of
from legato.transcript import Transcript
from legato.transducer import OnnxTransducer, Transducer

logger = logging.getLogger("legato")

FRAME_MS = 80
#: Encoder frames of a file that one call computes at most (1.28 s), in whole chunks. More are little faster, and take
#: memory.
FILE_FRAMES = 16


class Recognizer:
    """A loaded model. It keeps no state between calls, so any number of threads may share it.

    Attributes:
        bundle: the model folder it was loaded from.
        front_end, encoder, transducer: the rooms that audio walks through.
    """

    def __init__(self, bundle: Bundle, front_end: LogMel, encoder: Encoder, transducer: Transducer) -> None:
        self.bundle = bundle
        self.front_end = front_end
        self.encoder = encoder
        self.transducer = transducer
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
        audio: str | Path | NDArray[np.generic],
        *,
        language: str = AUTO,
        chunk_ms: int = 320,
        progress: Callable[[float], None] | None = None,
    ) -> Transcript:
        """Transcribe a file of any format, or an array.

        Args:
            audio: path of a file with an audio track, or mono audio at the model's sample rate, float32[n] or int16[n].
            language: a locale or language code that the model knows, or `auto`.
            chunk_ms: 80, 160, 320, 560 or 1120: how far ahead the model may look.
            progress: is called with the seconds of audio done so far.

        Raises:
            AudioError, LanguageError, ChunkSizeError: what was wrong and what to do.
        """
        state = self.start(language=language, chunk_ms=chunk_ms)
        if isinstance(audio, str | Path):
            with open_audio(Path(audio)) as blocks:
                self._run(state, blocks, progress)
                for warning in blocks.warnings:
                    logger.warning("%s: %s", audio, warning)
        else:
            self._run(state, blocks_of(check_samples(audio), self.sample_rate), progress)
        return transcript_of(self, state)

    def stream(self, *, language: str = AUTO, chunk_ms: int = 320) -> Stream:
        """Open a live stream; arguments as for `transcribe`."""
        return Stream(self, self.start(language=language, chunk_ms=chunk_ms))

    def encode(self, samples: NDArray[np.generic], *, language: str = AUTO, chunk_ms: int = 320) -> Frames:
        """Encoder frames behind the language prompt, as the joint gets them: float32[T, width], T a frame per 80 ms."""
        state = self.start(language=language, chunk_ms=chunk_ms)
        collected = [np.zeros((0, self.bundle.sizes.width), np.float32)]
        self._run(state, blocks_of(check_samples(samples), self.sample_rate), None, collect=collected.append)
        return np.concatenate(collected)

    def start(self, *, language: str = AUTO, chunk_ms: int = 320) -> StreamState:
        """State of a new stream.

        Raises:
            LanguageError, ChunkSizeError: the model has no such prompt, or cannot run such chunks.
        """
        slot = self.bundle.prompt_slot(language)
        chunk, rest = divmod(chunk_ms, FRAME_MS)
        if rest or chunk < 1:
            raise ChunkSizeError(f"A chunk of {chunk_ms} ms is impossible: give 80, 160, 320, 560 or 1120 ms.")
        encoder = self.encoder.start(slot, chunk)
        self._warn_untrained(chunk, chunk_ms)
        return StreamState(language, MelState(), encoder, self._start)

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
        collect: Callable[[Frames], None] | None = None,
    ) -> None:
        """Take whole blocks through the model, many chunks a call.

        With `collect` the frames go there instead of to the search.
        """
        step = max(1, FILE_FRAMES // state.encoder.chunk) * state.encoder.chunk
        for block in blocks:
            feed(self, state, block, last=False)
            while self.encoder.ready(state.encoder) >= step:
                self._frames(state, step, collect)
                if progress:
                    progress(state.encoder.done * self.bundle.frame_seconds)
        if not state.samples:
            raise AudioError("The audio is empty: it holds no samples. Give a recording of at least 10 ms.")
        feed(self, state, np.zeros(0, np.float32), last=True)
        while frames := min(self.encoder.ready(state.encoder), step):
            self._frames(state, frames, collect)
        if progress:
            progress(duration(self, state))

    def _frames(self, state: StreamState, frames: int, collect: Callable[[Frames], None] | None) -> None:
        encoded = encode(self, state, frames)
        if collect:
            collect(encoded)
        else:
            search(self, state, encoded)


def load(name_or_path: str | Path | None = None, *, threads: int | None = None) -> Recognizer:
    """Load a model.

    Args:
        name_or_path: a model folder, the name of a downloaded model, or None for the best model at hand: a downloaded
            full model, else the small embedded one.
        threads: threads for the encoder; by default the cores this process may use, at most 4.

    Raises:
        BundleError: no such model, or it is incomplete or altered.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be 1 or more, not {threads}")
    return load_bundle(open_bundle(resolve(name_or_path).path), threads=threads or default_threads())


def load_bundle(bundle: Bundle, *, threads: int, prepack: bool = True) -> Recognizer:
    """Load the graphs of an open bundle; without `prepack` weights stay in the file's pages, slower and smaller."""
    return Recognizer(
        bundle,
        LogMel(bundle.mel),
        open_encoder(bundle, threads, prepack=prepack),
        OnnxTransducer(bundle, 1, prepack=prepack),
    )
