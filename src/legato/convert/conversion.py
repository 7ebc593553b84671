"""The whole conversion: read, write, check, publish."""

import errno
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from legato.convert.architecture import Architecture
from legato.convert.bundle_writer import write_bundle
from legato.convert.checkpoint import Checkpoint, open_checkpoint
from legato.convert.quantize import DEFAULT_RECIPE, RECIPES
from legato.convert.quantize.calibration import Clip, input_ranges, read_manifest, sample_clips
from legato.convert.quantize.precision import DynamicInt8, Float16, Float32, Precision
from legato.convert.verify import Difference, check_runs, compare
from legato.errors import BundleError, ConversionError
from legato.model.bundle import open_bundle

PRECISIONS = ("fp32", "fp16", "int8")
LAYOUTS = ("native", "reference")

#: (what is being done, weights done, weights in all)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion wrote and how it compares with FP32.

    Attributes:
        out: the bundle.
        rows: file name and size in bytes.
        checkpoint_bytes: size of the weights that were read.
        difference: against FP32 on a spoken sentence; None for an FP32 bundle, which only had to run.
    """

    out: Path
    rows: list[tuple[str, int]]
    checkpoint_bytes: int
    difference: Difference | None

    @property
    def differences(self) -> dict[str, float]:
        """The figures of `difference` by name; empty for FP32."""
        return {} if self.difference is None else self.difference.figures()

    def lines(self) -> list[str]:
        """The report as lines of text."""
        total = sum(size for _, size in self.rows)
        lines = [f"{name:20} {size / 1e6:10.2f} MB" for name, size in self.rows]
        lines.append(f"{'total':20} {total / 1e6:10.2f} MB  (checkpoint {self.checkpoint_bytes / 1e6:.2f} MB)")
        if self.difference:
            lines.append(self.difference.describe())
        lines.append("checked: every graph runs and gives finite numbers")
        return lines


def convert(
    checkpoint: Path,
    out: Path,
    *,
    precision: str = "int8",
    layout: str = "native",
    recipe: str | None = None,
    calibration: Path | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Convert a checkpoint into a bundle.

    The bundle is written and checked beside `out` under another name and takes its name at the very end, so that a
    failed or interrupted conversion leaves nothing that could be taken for a model.

    Args:
        checkpoint: a `.nemo` archive or a transformers folder.
        out: the folder to make; it must not exist, or be empty.
        precision: one of `PRECISIONS`.
        layout: one of `LAYOUTS`.
        recipe: how INT8 is done, one of `RECIPES`; by default `DEFAULT_RECIPE`, in the reference layout `reference`.
        calibration: manifest of recordings for recipes that measure the activations (JSON lines with `audio_filepath`
            and `lang`); by default the recordings that Legato ships.
        progress: is called after every weight.

    Raises:
        CheckpointError: the checkpoint cannot be converted.
        ConversionError: the output exists, there is no room, the recipe or its calibration does not fit, or what was
            written does not do what it should.
    """
    if precision not in PRECISIONS or layout not in LAYOUTS:
        raise ValueError(f"precision is one of {PRECISIONS} and layout one of {LAYOUTS}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConversionError(f"{out}: exists already. Remove it, or choose another output folder.")
    recipe = _choose_recipe(precision, layout, recipe)
    clips = _calibration_clips(recipe, calibration)
    source = open_checkpoint(checkpoint)
    staging = out.absolute().with_name(f".{out.absolute().name}.unfinished")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        _check_room(staging, source, precision)
        progress = progress or (lambda *_: None)
        written = _precision(checkpoint, precision, layout, recipe, clips, staging, progress)
        report = _write_and_check(source, staging, out, written, layout, progress)
        if out.exists():
            out.rmdir()
        staging.rename(out)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ConversionError(f"{out}: no room left on the disk. Free some, and convert again.") from error
        raise ConversionError(f"{out}: cannot be written ({error}).") from error
    finally:
        source.release()
        shutil.rmtree(staging, ignore_errors=True)
    return report


def _write_and_check(
    source: Checkpoint, staging: Path, out: Path, precision: Precision, layout: str, progress: Progress
) -> ConversionReport:
    bundle, reference = staging, staging / "fp32"
    write_bundle(source, bundle, precision, layout, name=out.name, progress=progress)
    if precision.name != "fp32":
        write_bundle(source, reference, Float32(), layout, name="fp32", progress=progress)
    source.release()  # the checks below need the room in memory
    progress("checking", 0, 1)
    try:
        if precision.name == "fp32":
            check_runs(open_bundle(bundle))
            difference = None
        else:
            difference = compare(open_bundle(reference), open_bundle(bundle))
    except BundleError as error:
        raise ConversionError(f"what was written does not work: {error}") from error
    progress("checking", 1, 1)
    shutil.rmtree(reference, ignore_errors=True)
    rows = [(file.name, file.stat().st_size) for file in sorted(bundle.iterdir())]
    return ConversionReport(out, rows, source.nbytes, difference)


def _choose_recipe(precision: str, layout: str, recipe: str | None) -> str | None:
    """Name of the INT8 recipe, or None for another precision.

    Raises:
        ConversionError: the recipe is unknown, or not possible with this precision or layout.
    """
    if precision != "int8":
        if recipe is not None:
            raise ConversionError(f"the recipe {recipe} is a kind of INT8; it cannot be used with {precision}.")
        return None
    if layout == "reference":
        if recipe not in (None, "reference"):
            raise ConversionError(
                f"the reference layout is for apps that expect the published graphs, which have the recipe 'reference' "
                f"only. Use the native layout for the recipe {recipe}."
            )
        return "reference"
    if recipe is not None and recipe not in RECIPES:
        raise ConversionError(f"there is no recipe {recipe!r}. Choose one of: {', '.join(RECIPES)}.")
    return recipe or DEFAULT_RECIPE


def _calibration_clips(recipe: str | None, manifest: Path | None) -> list[Clip]:
    """Recordings that the recipe is calibrated on; none for one that needs no calibration."""
    calibrated = recipe is not None and RECIPES[recipe].calibrated
    if not calibrated:
        if manifest is not None:
            raise ConversionError(f"{manifest}: {recipe or 'this precision'} takes no calibration.")
        return []
    return sample_clips() if manifest is None else read_manifest(manifest)


def _precision(
    source: Path,
    name: str,
    layout: str,
    recipe: str | None,
    clips: list[Clip],
    folder: Path,
    progress: Progress,
) -> Precision:
    if recipe is None:
        return {"fp32": Float32, "fp16": Float16}[name]()
    if layout == "reference":
        return DynamicInt8(unsigned=False)  # the published bundle has signed weights
    if not RECIPES[recipe].calibrated:
        return RECIPES[recipe].make({})
    progress("calibrating", 0, 1)
    ranges = input_ranges(open_checkpoint(source), clips, folder)
    shutil.rmtree(folder)
    progress("calibrating", 1, 1)
    return RECIPES[recipe].make(ranges)


def _check_room(staging: Path, source: Checkpoint, precision: str) -> None:
    """Refuse at once what cannot fit: the bundle, and an FP32 one to compare with."""
    folder = staging.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ConversionError(f"{folder}: cannot be written to ({error}).") from error
    if not os.access(folder, os.W_OK):
        raise ConversionError(f"{folder}: cannot be written to. Choose another output folder.")
    parameters = _parameters(source.architecture)
    needed = parameters * {"fp32": 4, "fp16": 2 + 4, "int8": 1.3 + 4}[precision]
    if free < needed * 1.02:
        raise ConversionError(
            f"{folder}: no room: the conversion needs {needed / 1e9:.2f} GB for a while and {free / 1e9:.2f} GB are "
            "free. Free some, or choose another output folder."
        )


def _parameters(architecture: Architecture) -> int:
    return sum(math.prod(shape) for shape in architecture.weight_shapes().values())
