"""The study itself: FP32 first, then one variant after another, each made, run and removed."""

import hashlib
import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from legato.audio.source import read_audio
from legato.convert.checkpoint import Checkpoint, open_checkpoint
from legato.convert.quantize import DEFAULT_RECIPE
from legato.convert.quantize.calibration import Clip, sample_clips
from legato.convert.quantize.calibration import read_manifest as read_calibration
from legato.decode.greedy import Emission
from legato.decode.transducer import Transducer
from legato.errors import AudioError, BundleError, ConversionError, LanguageError, StudyError
from legato.lab.study.figures import edits, plain
from legato.lab.study.measure import SearchPath, encoder_frames, search_path, text_of, tokens_of
from legato.lab.study.results import Difference, Heard, Outcome, Study
from legato.lab.study.utterances import Utterance, read_manifest, spread
from legato.lab.study.variants import BY_TENSOR, WAYS, Variant, parts_of, whole_recipes
from legato.lab.study.workshop import Workshop
from legato.recognizer import Recognizer
from legato.runtime.session import default_threads
from legato.types import Frames

FILE = "study.json"
#: Start of the name of the folder for graphs and frames.
_WORK = ".work-"

#: (what is being done, utterances done, utterances in all)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What to study.

    Attributes:
        checkpoint: a `.nemo` archive or a transformers folder.
        manifest: recordings with text (see `legato.lab.study.utterances`).
        output: folder for `study.json`, and for the variants while they are at work.
        recipes: the recipes whose groups and layers are studied; by default `DEFAULT_RECIPE`.
        layers: encoder layers to study one by one; None for all of them.
        limit: how many utterances to use, evenly from the manifest; None for all.
        chunk_ms: chunk size.
        language: of all recordings, whatever the manifest says; None for what it says.
        calibration: manifest of recordings for recipes that measure the activations; by default as `convert`.
        threads: threads of the encoder; by default as `legato.load`.
        seed: of the bootstrap.
        resume: go on with what is in the output folder.
    """

    checkpoint: Path
    manifest: Path
    output: Path
    recipes: Sequence[str] = (DEFAULT_RECIPE,)
    layers: Sequence[int] | None = None
    limit: int | None = None
    chunk_ms: int = 320
    language: str | None = None
    calibration: Path | None = None
    threads: int | None = None
    seed: int = 0
    resume: bool = False


def investigate(plan: Plan, progress: Progress = lambda *_: None) -> Study:
    """Make a study. What is finished is in `study.json` at any time.

    Args:
        plan: what to study.
        progress: is called after every utterance of every variant.

    Raises:
        StudyError: nothing can be studied: no usable recording, an unknown recipe or layer, another study's folder.
        CheckpointError, ConversionError: the model or the calibration cannot be used.
    """
    unknown = [name for name in plan.recipes if name not in WAYS]
    if unknown:
        raise StudyError(f"there is no recipe {unknown[0]!r}. Choose among: {', '.join(WAYS)}.")
    file = plan.output / FILE
    if file.exists() and not plan.resume:
        raise StudyError(f"{file}: exists already. Go on with it (--resume), or give another --output.")
    utterances, problems = read_manifest(plan.manifest)
    utterances = [
        utterance if plan.language is None else replace(utterance, language=plan.language)
        for utterance in spread(utterances, plan.limit)
    ]
    if not utterances:
        raise StudyError("\n".join([f"{plan.manifest}: there is no recording to study.", *problems]))
    clips = sample_clips() if plan.calibration is None else read_calibration(plan.calibration)
    checkpoint = open_checkpoint(plan.checkpoint)
    checkpoint.release()
    settings, planned = _settings(plan, utterances, clips), _variants(plan, checkpoint)
    study = Study(str(plan.checkpoint), settings, plan.seed, planned, problems=problems)
    resumed = file.exists()
    if resumed:
        study.take_over(file)
    waiting = [variant for variant in study.planned if variant.key not in study.outcomes]
    if not waiting:
        return study
    new = not plan.output.exists()
    try:
        plan.output.mkdir(parents=True, exist_ok=True)
        for left_behind in plan.output.glob(f"{_WORK}*"):
            shutil.rmtree(left_behind)
        _check_room(plan.output, checkpoint)
        with tempfile.TemporaryDirectory(dir=plan.output, prefix=_WORK) as folder, _each_warning_once():
            _Work(plan, study, Path(folder), progress).run(utterances, waiting, clips, resumed=resumed)
    except OSError as error:
        raise StudyError(f"{plan.output}: cannot be written to ({error}).") from error
    finally:
        if new and plan.output.is_dir() and not any(plan.output.iterdir()):
            plan.output.rmdir()
    return study


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Warnings about a recording or the chunk size are not said again for every variant."""
    said: set[str] = set()

    def first_time(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        known = message in said
        said.add(message)
        return not known

    logger = logging.getLogger("legato")
    logger.addFilter(first_time)
    try:
        yield
    finally:
        logger.removeFilter(first_time)


def _variants(plan: Plan, checkpoint: Checkpoint) -> list[Variant]:
    count = checkpoint.architecture.layers
    layers = range(count) if plan.layers is None else plan.layers
    for layer in layers:
        if not 0 <= layer < count:
            raise StudyError(f"there is no layer {layer}: {plan.checkpoint} has the layers 0 to {count - 1}.")
    parts = (variant for recipe in dict.fromkeys(plan.recipes) for variant in parts_of(recipe, layers))
    return [*whole_recipes(), *parts]


def _settings(plan: Plan, utterances: Sequence[Utterance], clips: Sequence[Clip]) -> dict[str, Any]:
    files = sorted(plan.checkpoint.iterdir()) if plan.checkpoint.is_dir() else [plan.checkpoint]
    checkpoint = _digest([sha256_of(file) for file in files if file.is_file()])
    spoken = [
        (_relative(utterance.audio, plan.manifest), utterance.text, utterance.language) for utterance in utterances
    ]
    return {
        "checkpoint": checkpoint,
        "manifest": plan.manifest.name,
        "selection of utterances": _digest(spoken),
        "chunk size": plan.chunk_ms,
        "calibration": _digest([(clip.path.name, clip.language) for clip in clips]),
        "version of Legato": version("legato"),
        "version of onnxruntime": version("onnxruntime"),
    }


def _relative(file: Path, manifest: Path) -> str:
    return str(file.relative_to(manifest.parent) if file.is_relative_to(manifest.parent) else file)


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _check_room(folder: Path, checkpoint: Checkpoint) -> None:
    """The graphs of one model are there at a time, FP32 at most, and frames, which are small."""
    parameters = sum(math.prod(shape) for shape in checkpoint.architecture.weight_shapes().values())
    needed, free = 1.1 * 4 * parameters, shutil.disk_usage(folder).free
    if free < needed:
        raise StudyError(
            f"{folder}: no room: the study needs {needed / 1e9:.2f} GB for a while and {free / 1e9:.2f} GB are free. "
            "Free some, or give another --output."
        )


class _Work:
    """One run: FP32, then the variants; its folder keeps the frames of FP32 and of the last other encoder."""

    def __init__(self, plan: Plan, study: Study, folder: Path, progress: Progress) -> None:
        self._plan, self._study, self._frames, self._progress = plan, study, folder / "frames", progress
        self._workshop = Workshop(plan.checkpoint, folder, plan.threads or default_threads())
        self._chunk = plan.chunk_ms // FRAME_MS
        self._used: list[tuple[Utterance, SearchPath]] = []
        self._encoder_at_hand: object = None
        self._done = self._total = 0
        self._frames.mkdir()

    def run(
        self, utterances: Sequence[Utterance], waiting: Sequence[Variant], clips: Sequence[Clip], *, resumed: bool
    ) -> None:
        """Run FP32 and the waiting variants, and save the study after each of them."""
        study, file = self._study, self._plan.output / FILE
        self._total = len(utterances) * (1 + len(waiting))
        heard, problems = self._listen(utterances)
        if resumed:
            if [(h.line, h.tokens) for h in heard] != [(h.line, h.tokens) for h in study.heard]:
                raise StudyError(f"{file}: FP32 gives other results than when it was begun. Give another --output.")
        else:
            study.problems += problems
        if not heard:
            raise StudyError("\n".join([f"{self._plan.manifest}: no recording can be used.", *study.problems]))
        study.heard = heard
        study.save(file)
        self._done, self._total = len(heard), len(heard) * (1 + len(waiting))
        self._progress("calibrating", self._done, self._total)
        self._workshop.prepare(list(dict.fromkeys(variant.recipe for variant in waiting)), clips)
        # Variants that share an encoder come one after the other, so that its frames are computed once.
        for variant in sorted(waiting, key=_encoder_order):
            try:
                study.outcomes[variant.key] = Outcome(variant, tuple(self._compare(variant)))
            except (ConversionError, BundleError) as error:
                study.outcomes[variant.key] = Outcome(variant, impossible=str(error))
            study.save(file)

    def _listen(self, utterances: Sequence[Utterance]) -> tuple[list[Heard], list[str]]:
        """Run FP32; recordings that cannot be used are left out of everything that follows."""
        recognizer = self._workshop.open_fp32()
        heard: list[Heard] = []
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
                np.save(self._frames / f"fp32-{len(heard)}.npy", frames)
                self._used.append((utterance, path))
                heard.append(self._heard(utterance, frames, path))
            self._tick("FP32")
        return heard, problems

    def _heard(self, utterance: Utterance, frames: Frames, path: SearchPath) -> Heard:
        found = text_of(self._workshop.bundle, path.emissions)
        text, compared = plain(utterance.text), plain(found)
        return Heard(
            line=utterance.line,
            audio=_relative(utterance.audio, self._plan.manifest),
            text=utterance.text,
            found=found,
            tokens=tuple(emission.token for emission in path.emissions),
            words=len(text.split()),
            characters=len(text),
            word_edits=edits(text.split(), compared.split()),
            character_edits=edits(text, compared),
            energy=float((frames.astype(np.float64) ** 2).sum()),
            steps=len(path.logs),
        )

    def _compare(self, variant: Variant) -> Iterator[Difference]:
        """Make a variant and run it."""
        new = variant.encoder is not None and variant.encoder != self._encoder_at_hand
        if new:
            self._encoder_at_hand = None
        recognizer, transducer = self._workshop.open(variant, with_encoder=new)
        for number, (utterance, path) in enumerate(self._used):
            expected: Frames = np.load(self._frames / f"fp32-{number}.npy")
            file = self._frames / f"other-{number}.npy"
            if recognizer is not None:
                frames = self._encode(recognizer, utterance, live=variant.recipe in BY_TENSOR)
                np.save(file, frames)
            else:
                frames = expected if variant.encoder is None else np.load(file)
            yield self._difference(utterance, path, transducer, frames, expected)
            self._tick(variant.key)
        if new:
            self._encoder_at_hand = variant.encoder

    def _difference(
        self, utterance: Utterance, path: SearchPath, transducer: Transducer, frames: Frames, expected: Frames
    ) -> Difference:
        emissions = self._search(transducer, frames)
        before, now = ([emission.token for emission in found] for found in (path.emissions, emissions))
        text, compared = plain(utterance.text), plain(text_of(self._workshop.bundle, emissions))
        return Difference(
            squared_error=float(((frames.astype(np.float64) - expected) ** 2).sum()),
            divergence=path.divergence(transducer, frames),
            token_edits=edits(before, now),
            tokens=max(len(before), len(now)),
            word_edits=edits(text.split(), compared.split()),
            character_edits=edits(text, compared),
        )

    def _encode(self, recognizer: Recognizer, utterance: Utterance, *, live: bool) -> Frames:
        samples = read_audio(utterance.audio)
        return encoder_frames(recognizer, samples, utterance.language, self._plan.chunk_ms, live=live)

    def _search(self, transducer: Transducer, frames: Frames) -> list[Emission]:
        return tokens_of(transducer, frames, self._chunk, self._workshop.bundle.sizes.max_symbols)

    def _tick(self, what: str) -> None:
        self._done += 1
        self._progress(what, self._done, self._total)


def _encoder_order(variant: Variant) -> tuple[str, list[str], int]:
    """Puts variants with equal encoders side by side."""
    recipe, groups, layer = variant.encoder or ("", frozenset(), None)
    return recipe, sorted(groups), -1 if layer is None else layer
