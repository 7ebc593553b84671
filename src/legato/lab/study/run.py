"""The work of a study: FP32 first, then one variant after another, each made, run and removed."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from legato.chunks import FRAME_MS
from legato.convert.quantize.clips import Clip
from legato.decode.greedy import Emission
from legato.decode.transducer import Transducer
from legato.errors import AudioError, BundleError, ConversionError, LanguageError, StudyError
from legato.lab.kept import Spoken, kept, spoken
from legato.lab.normalize import LETTERS
from legato.lab.scoring import UNSPACED_LANGUAGES, base, characters, distance, words
from legato.lab.study.measure import SearchPath, encoder_frames, search_path, text_of, tokens_of
from legato.lab.study.plan import Plan
from legato.lab.study.results import Deviation, Fp32Result, Outcome, Study
from legato.lab.study.utterances import Utterance
from legato.lab.study.variants import BY_TENSOR, Variant
from legato.lab.study.workshop import Workshop
from legato.model.languages import AUTO
from legato.recognizer import Recognizer
from legato.runtime.cores import default_threads
from legato.types import Frames

#: Called with what is being done, the number of utterances done, and their total.
Progress = Callable[[str, int, int], None]


class Run:
    """One run: FP32, then the variants. Its folder keeps the frames of FP32 and of the last other encoder."""

    def __init__(self, plan: Plan, study: Study, file: Path, folder: Path, progress: Progress) -> None:
        self._plan, self._study, self._file, self._progress = plan, study, file, progress
        self._frames = folder / "frames"
        self._workshop = Workshop(plan.checkpoint, folder, plan.threads or default_threads())
        self._chunk = plan.chunk_ms // FRAME_MS
        self._used: list[tuple[Utterance, SearchPath]] = []
        self._last_encoder: object = None
        self._done = self._total = 0
        self._frames.mkdir()

    def run(
        self, utterances: Sequence[Utterance], waiting: Sequence[Variant], clips: Sequence[Clip], *, resumed: bool
    ) -> None:
        """Run FP32 and the waiting variants, and save the study after each of them."""
        study, file = self._study, self._file
        self._total = len(utterances) * (1 + len(waiting))
        fp32, problems = self._run_fp32(utterances)
        if resumed:
            if [(result.line, result.tokens) for result in fp32] != [(r.line, r.tokens) for r in study.fp32]:
                raise StudyError(
                    f"{file}: FP32 gives other results than when the study was started. Give another --output."
                )
        else:
            study.problems += problems
        if not fp32:
            raise StudyError("\n".join([f"{self._plan.manifest}: no recording can be used.", *study.problems]))
        study.fp32 = fp32
        study.save(file)
        self._done, self._total = len(fp32), len(fp32) * (1 + len(waiting))
        self._progress("calibrating", self._done, self._total)
        self._workshop.prepare(list(dict.fromkeys(variant.recipe for variant in waiting)), clips)
        # Variants with the same encoder follow each other, so that its frames are computed once.
        for variant in sorted(waiting, key=_encoder_order):
            try:
                study.outcomes[variant.key] = Outcome(variant, tuple(self._run_variant(variant)))
            except (ConversionError, BundleError) as error:
                study.outcomes[variant.key] = Outcome(variant, impossible=str(error))
            study.save(file)

    def _run_fp32(self, utterances: Sequence[Utterance]) -> tuple[list[Fp32Result], list[str]]:
        """Run FP32. Recordings that cannot be used are left out of everything that follows."""
        recognizer = self._workshop.open_fp32()
        results: list[Fp32Result] = []
        problems = []
        for utterance in utterances:
            try:
                frames = self._encode(recognizer, utterance, live=False)
                if not len(frames):
                    raise AudioError("too short: it has no encoder frame.")
            except (AudioError, LanguageError) as error:
                problems.append(f"{self._plan.manifest}, line {utterance.line}: {error}")
            else:
                emissions = self._search(recognizer.pipeline.decoder.transducer, frames)
                path = search_path(recognizer.pipeline.decoder.transducer, frames, emissions)
                np.save(self._frames / f"fp32-{len(results)}.npy", frames)
                self._used.append((utterance, path))
                results.append(self._fp32_result(utterance, frames, path))
            self._count("FP32")
        return results, problems

    def _fp32_result(self, utterance: Utterance, frames: Frames, path: SearchPath) -> Fp32Result:
        found = text_of(self._workshop.bundle, path.emissions)
        reference = LETTERS(utterance.text)
        word_edits, character_edits = _edits(reference, LETTERS(found))
        return Fp32Result(
            line=utterance.line,
            audio=self._plan.relative(utterance.audio),
            text=utterance.text,
            found=found,
            tokens=tuple(emission.token for emission in path.emissions),
            words=len(reference.split()),
            characters=len(reference),
            word_edits=word_edits,
            character_edits=character_edits,
            energy=float((frames.astype(np.float64) ** 2).sum()),
            steps=len(path.logs),
        )

    def _run_variant(self, variant: Variant) -> Iterator[Deviation]:
        """Make a variant, and yield its deviation on every utterance."""
        new = variant.encoder is not None and variant.encoder != self._last_encoder
        if new:
            self._last_encoder = None
        recognizer, transducer = self._workshop.open(variant, with_encoder=new)
        for number, (utterance, path) in enumerate(self._used):
            expected: Frames = np.load(self._frames / f"fp32-{number}.npy")
            file = self._frames / f"other-{number}.npy"
            if recognizer is not None:
                frames = self._encode(recognizer, utterance, live=variant.recipe in BY_TENSOR)
                np.save(file, frames)
            else:
                frames = expected if variant.encoder is None else np.load(file)
            yield self._deviation(utterance, path, transducer, frames, expected)
            self._count(variant.key)
        if new:
            self._last_encoder = variant.encoder

    def _deviation(
        self, utterance: Utterance, path: SearchPath, transducer: Transducer, frames: Frames, expected: Frames
    ) -> Deviation:
        emissions = self._search(transducer, frames)
        before, now = ([emission.token for emission in found] for found in (path.emissions, emissions))
        found = text_of(self._workshop.bundle, emissions)
        word_edits, character_edits = _edits(LETTERS(utterance.text), LETTERS(found))
        complete, text = (self._spoken(utterance, search, len(frames)) for search in (path.emissions, emissions))
        return Deviation(
            squared_error=float(((frames.astype(np.float64) - expected) ** 2).sum()),
            divergence=path.divergence(transducer, frames),
            token_edits=distance(before, now),
            tokens=max(len(before), len(now)),
            word_edits=word_edits,
            character_edits=character_edits,
            kept=kept(complete, text),
        )

    def _spoken(self, utterance: Utterance, emissions: Sequence[Emission], frames: int) -> Spoken:
        text, language = LETTERS(text_of(self._workshop.bundle, emissions)), utterance.language
        return spoken(
            characters(text, language) if base(language) in UNSPACED_LANGUAGES else words(text),
            ((emission.token, emission.frame) for emission in emissions),
            self._workshop.bundle.language_tags,
            ending=None if language == AUTO else language,
            duration=frames * FRAME_MS / 1000,
        )

    def _encode(self, recognizer: Recognizer, utterance: Utterance, *, live: bool) -> Frames:
        return encoder_frames(recognizer, utterance.read(), utterance.language, self._plan.chunk_ms, live=live)

    def _search(self, transducer: Transducer, frames: Frames) -> list[Emission]:
        return tokens_of(transducer, frames, self._chunk, self._workshop.bundle.sizes.max_symbols)

    def _count(self, what: str) -> None:
        self._done += 1
        self._progress(what, self._done, self._total)


def _edits(reference: str, hypothesis: str) -> tuple[int, int]:
    """Return the edit distances in words and in characters."""
    return distance(reference.split(), hypothesis.split()), distance(reference, hypothesis)


def _encoder_order(variant: Variant) -> tuple[str, list[str], int]:
    """Sort key that puts variants with equal encoders side by side."""
    recipe, groups, layer = variant.encoder or ("", frozenset(), None)
    return recipe, sorted(groups), -1 if layer is None else layer
