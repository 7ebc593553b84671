"""The whole conversion: read a checkpoint, write a bundle, check it, and give it its final name."""

import errno
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from legato.convert.bundle_writer import write_bundle
from legato.convert.checkpoint import Checkpoint
from legato.convert.graph.precision import Float32, Precision
from legato.convert.names import current_layout, current_recipe
from legato.convert.open import open_checkpoint
from legato.convert.plan import Plan, make_plan
from legato.convert.room import check_room
from legato.convert.verify import Difference, check_runs, compare
from legato.errors import BundleError, ConversionError
from legato.files import Progress
from legato.model.bundle import open_bundle
from legato.model.card import read_evaluation, write_card


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion wrote, and how it differs from FP32.

    Attributes:
        out: the folder of the bundle.
        rows: name and size in bytes of every file in it, sorted by name.
        checkpoint_bytes: size of the checkpoint's weights in bytes.
        difference: the difference from FP32 in ONNX on a spoken sentence; None for an FP32 bundle in ONNX, which only
            has to run.
    """

    out: Path
    rows: list[tuple[str, int]]
    checkpoint_bytes: int
    difference: Difference | None

    @property
    def differences(self) -> dict[str, float]:
        """The values of `difference` by name; empty for FP32."""
        return {} if self.difference is None else self.difference.figures()

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        total = sum(size for _, size in self.rows)
        width = max(20, *(len(name) for name, _ in self.rows))
        lines = [f"{name:{width}} {size / 1e6:10.2f} MB" for name, size in self.rows]
        lines.append(f"{'total':{width}} {total / 1e6:10.2f} MB  (checkpoint {self.checkpoint_bytes / 1e6:.2f} MB)")
        if self.difference:
            lines.append(self.difference.describe())
        lines.append("checked: every graph runs and returns finite numbers")
        return lines


def convert(
    checkpoint: Path,
    out: Path,
    *,
    precision: str = "int8",
    layout: str = "native",
    recipe: str | None = None,
    calibration: Path | None = None,
    report: Path | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Convert a checkpoint into a bundle.

    The bundle is written and checked next to `out` under another name and renamed at the very end. A failed or
    interrupted conversion leaves nothing that could be mistaken for a model.

    Args:
        checkpoint: a `.nemo` archive, a `.gguf` file or the folder of a transformers checkpoint.
        out: the folder to create. It must not exist, or must be empty.
        precision: type of the weights, one of `PRECISIONS`: `fp32`, `fp16` or `int8`.
        layout: kind of the graphs, one of `LAYOUTS`: `native`, which Legato runs best, or `published` or `litert`, for
            applications that were made for the published models, in ONNX or in LiteRT's format.
        recipe: the kind of INT8, one of `RECIPES`. The default is `DEFAULT_RECIPE` for the native layout and
            `dynamic-per-tensor`, the only one, for the published layout. The litert layout has `per-token-smooth` only.
        calibration: a manifest of recordings for recipes that measure the activations: JSON lines with `audio_filepath`
            and optionally `lang`. The default are the recordings that come with Legato.
        report: folder of a report of `legato evaluate`, for the model card (`README.md`) of the bundle.
        progress: called with the name of the current step, the completed units, and the total units of that step. The
            steps are `calibrating`, `encoder`, `decoder`, `joint` (one unit per weight) and `checking`.

    Returns:
        The files that were written and their difference from FP32.

    Raises:
        CheckpointError: the checkpoint is broken, unsafe, or has another architecture.
        ConversionError: the output folder exists or is not writable, the disk is full, the recipe or its calibration is
            not usable, or the written bundle does not run.
        EvaluationError: `report` is no report of `legato evaluate`.
        ValueError: unknown precision or layout.
    """
    layout = current_layout(layout, _warn)
    recipe = recipe and current_recipe(recipe, _warn)
    plan = make_plan(precision, layout, recipe, calibration)
    evaluation = None if report is None else read_evaluation(report)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConversionError(f"{out}: already exists. Remove it, or choose another output folder.")
    source = open_checkpoint(checkpoint)
    staging = out.absolute().with_name(f".{out.absolute().name}.unfinished")
    progress = progress or (lambda *_: None)
    try:
        check_room(
            staging.parent, source.architecture, precision, compared=plan.compared, recorded_rows=plan.recorded_rows
        )
        with _only_writer(out, staging):
            written = plan.make_precision(checkpoint, staging, progress)
            difference = _write_and_check(source, staging, written, plan, out.name, progress)
            write_card(staging, evaluation)
            rows = [(file.name, file.stat().st_size) for file in sorted(staging.iterdir())]
            if out.exists():
                out.rmdir()
            staging.rename(out)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ConversionError(f"{out}: no room left on the disk. Free some space, and convert again.") from error
        raise ConversionError(f"{out}: cannot be written ({error}).") from error
    finally:
        source.release()
    return ConversionReport(out, rows, source.nbytes, difference)


@contextmanager
def _only_writer(out: Path, staging: Path) -> Iterator[None]:
    """Make sure that no other conversion writes to the same folder, and that nothing unfinished stays."""
    lock = FileLock(staging.with_name(f"{staging.name}.lock"))
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ConversionError(
                f"{out}: another conversion writes to this folder now. Wait until it ends, or choose another folder."
            ) from None
        shutil.rmtree(staging, ignore_errors=True)
        yield
    finally:
        # Acquired again, because an interrupt may have come between the creation of the file and its lock.
        with suppress(Timeout), lock.acquire(timeout=0):
            shutil.rmtree(staging, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)  # while it is held: nobody else can have taken it
            lock.release()


def _warn(sentence: str) -> None:
    warnings.warn(sentence, DeprecationWarning, stacklevel=5)  # at the caller of `convert`


def _write_and_check(
    source: Checkpoint, bundle: Path, precision: Precision, plan: Plan, name: str, progress: Progress
) -> Difference | None:
    reference = bundle / "fp32"
    write_bundle(source, bundle, precision, plan.layout, name=name, progress=progress)
    if plan.compared:
        onnx = "published" if plan.layout == "litert" else plan.layout
        write_bundle(source, reference, Float32(), onnx, name="fp32", progress=progress)
    source.release()  # the checks below need the memory
    progress("checking", 0, 1)
    try:
        if plan.compared:
            difference = compare(open_bundle(reference), open_bundle(bundle))
        else:
            check_runs(open_bundle(bundle))
            difference = None
    except BundleError as error:
        raise ConversionError(f"the converted bundle cannot be used: {error}") from error
    progress("checking", 1, 1)
    shutil.rmtree(reference, ignore_errors=True)
    return difference
