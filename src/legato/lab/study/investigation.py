"""A study from its plan to its results."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from legato.convert.open import open_checkpoint
from legato.convert.quantize.clips import read_manifest as read_calibration
from legato.convert.quantize.clips import sample_clips
from legato.errors import StudyError
from legato.lab.study.plan import Plan, check_room
from legato.lab.study.results import Study
from legato.lab.study.run import Progress, Run
from legato.lab.study.utterances import read_utterances, spread

FILE = "study.json"
#: Prefix of the name of the folder for graphs and frames.
_WORK = ".work-"


def investigate(plan: Plan, progress: Progress = lambda *_: None) -> Study:
    """Run a study. `study.json` always contains what is finished.

    Args:
        plan: what to study.
        progress: called after every utterance of every variant.

    Raises:
        StudyError: nothing can be studied: no usable recording, an unknown recipe or layer, another study's folder.
        CheckpointError, ConversionError: the model or the calibration cannot be used.
    """
    plan.check_recipes()
    file = plan.output / FILE
    if file.exists() and not plan.resume:
        raise StudyError(f"{file}: exists already. Continue it with --resume, or give another --output.")
    utterances, problems = read_utterances(plan.manifest)
    utterances = [
        utterance if plan.language is None else replace(utterance, language=plan.language)
        for utterance in spread(utterances, plan.limit)
    ]
    if not utterances:
        raise StudyError("\n".join([f"{plan.manifest}: there is no recording to study.", *problems]))
    clips = sample_clips() if plan.calibration is None else read_calibration(plan.calibration)
    checkpoint = open_checkpoint(plan.checkpoint)
    checkpoint.release()
    settings = plan.settings(utterances, clips)
    study = Study(str(plan.checkpoint), settings, plan.seed, plan.variants(checkpoint), problems=problems)
    resumed = file.exists()
    if resumed:
        study.load(file)
    waiting = [variant for variant in study.planned if variant.key not in study.outcomes]
    if not waiting:
        return study
    new = not plan.output.exists()
    try:
        plan.output.mkdir(parents=True, exist_ok=True)
        for abandoned in plan.output.glob(f"{_WORK}*"):
            shutil.rmtree(abandoned)
        check_room(plan.output, checkpoint)
        with tempfile.TemporaryDirectory(dir=plan.output, prefix=_WORK) as folder, _each_warning_once():
            Run(plan, study, file, Path(folder), progress).run(utterances, waiting, clips, resumed=resumed)
    except OSError as error:
        raise StudyError(f"{plan.output}: cannot be written to ({error}). Give another --output.") from error
    finally:
        if new and plan.output.is_dir() and not any(plan.output.iterdir()):
            plan.output.rmdir()
    return study


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Suppress warnings about a recording or the chunk size that every variant would repeat."""
    seen: set[str] = set()

    def first_time(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        known = message in seen
        seen.add(message)
        return not known

    logger = logging.getLogger("legato")
    logger.addFilter(first_time)
    try:
        yield
    finally:
        logger.removeFilter(first_time)
