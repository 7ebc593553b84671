"""`legato transcribe` with folders or `--jobs`: plan, run, summary and exit code."""

from dataclasses import fields
from pathlib import Path

import typer

from legato.batch import Executor, LocalExecutor
from legato.cli.batch.journal import Journal, hash_of
from legato.cli.batch.plan import make_plan
from legato.cli.batch.run import passed_over, run, summarize, writer
from legato.cli.errors import FAILED, PARTIAL
from legato.cli.interrupt import exit_code
from legato.cli.job import Batch
from legato.cli.model import Model
from legato.errors import AudioError
from legato.files import sha256_of
from legato.options import StreamOptions

_JOBS = 4


def transcribe_batch(batch: Batch, model: Model, options: StreamOptions) -> None:
    """Transcribe files and folders, several files at once, each into its own file.

    Files that have their result are left out: a journal beside the results says from which audio and options each is.

    Raises:
        typer.Exit: a file failed (2), of a file only a part could be read (3), or an interrupt came (130).
        LegatoError: there is nothing to transcribe, or nothing can be transcribed.
    """
    kinds = batch.destination.kinds
    plan = make_plan(batch.names, batch.destination.folder, kinds, identity(batch, model), recursive=batch.recursive)
    journals = {folder: Journal(folder) for folder in {target.parent for job in plan.jobs for target in job.targets}}
    plan.passed_over = [
        path for path in plan.passed_over if path.parent not in journals or not journals[path.parent].wrote(path.name)
    ]
    if not plan.jobs and not plan.failed:
        deeper = "" if batch.recursive else " directly in it; --recursive includes its folders"
        others = f" ({passed_over(plan)})" if plan.passed_over else ""
        raise AudioError(f"{', '.join(batch.names)}: no audio or video file{deeper}{others}.")
    if not batch.overwrite:
        plan.leave_out_finished(journals)
    plan.leave_out_unwritable()
    outcome = run(plan, _executor(batch, model, options), writer(kinds, model.name, journals))
    summarize(plan, outcome)
    if outcome.interrupt is not None:
        raise typer.Exit(exit_code(outcome.interrupt))
    if plan.failed or outcome.failed or outcome.stopped:
        raise typer.Exit(FAILED)
    if plan.partial or outcome.partial:
        raise typer.Exit(PARTIAL)


def _executor(batch: Batch, model: Model, options: StreamOptions) -> Executor:
    if not batch.on_ray:
        return LocalExecutor(
            model.recognizer, options, channels=batch.channels, track=batch.track, jobs=batch.jobs or _JOBS
        )
    from legato.contrib.ray.batch import RayExecutor

    return RayExecutor(
        model.recognizer.bundle.path, options, channels=batch.channels, track=batch.track, jobs=batch.jobs,
        threads=batch.threads or 1,
    )  # fmt: skip


def identity(batch: Batch, model: Model) -> str:
    """Return a hash of everything that decides what the results say, as the user gave it.

    Journals of earlier versions hold this hash, so it must stay the same for options that they knew.
    """
    options = {field.name: getattr(batch.options, field.name) for field in fields(batch.options)}
    del options["sample_rate"]  # of samples that a program passes; files state their own
    calibration = {"calibration": batch.options.calibration(model.recognizer.bundle)}
    if options.pop("confidence") == "raw":
        calibration = {}
    lm = batch.options.lm
    return hash_of(
        {
            **options,
            "phrases": sorted(batch.phrases),
            "lm": None if lm is None else sha256_of(Path(str(lm))),
            "channels": batch.channels,
            "model": model.name,
            "files": sha256_of(model.recognizer.bundle.path / "config.json"),  # lists the hashes of all its files
            "template": batch.destination.template,
        }
        | ({} if batch.track is None else {"track": batch.track})
        | calibration
    )
