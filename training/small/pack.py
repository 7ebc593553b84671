"""Send shards to another machine: all of them in one file, a fifth of their size.

    python -m training.small.pack shards.zip --data DATA --names NAME... [--step 0.6]
    python -m training.small.pack shards.zip --data DATA --unpack [--processes 16]

Names may be patterns, such as ``'fr-real-*'``. Log-mel values are rounded to multiples of ``--step`` above digital
silence, which stays exact: a deviation of 0.17 nats is far below what :mod:`training.small.augment` adds. What is
stored is the difference from the mean of the values before and below.
"""

import argparse
import bz2
import zipfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numba
import numpy as np
import numpy.typing as npt

from training.small.augment import BANDS, SILENCE

Steps = npt.NDArray[np.uint8]
FEATURES = ".steps"


def differences(values: Steps) -> Steps:
    """Return each value [T, 128] less the mean of the one before and the one below, modulo 256."""
    wide = np.pad(values.astype(np.int16), ((1, 0), (1, 0)))
    return (values - ((wide[:-1, 1:] + wide[1:, :-1]) >> 1)).astype(np.uint8)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _summed(changes: Steps) -> Steps:
    """Return the values that :func:`differences` was given."""
    values = np.zeros_like(changes)
    for frame in range(changes.shape[0]):
        for band in range(changes.shape[1]):
            before = np.int64(values[frame - 1, band]) if frame else 0
            below = np.int64(values[frame, band - 1]) if band else 0
            values[frame, band] = (changes[frame, band] + ((before + below) >> 1)) & 255
    return values


def packed(mel: npt.NDArray[np.float16], step: float) -> bytes:
    """Return log-mel values [T, 128] as bytes."""
    values = np.clip(np.round((mel.astype(np.float32) - SILENCE) / step), 0, 255).astype(np.uint8)
    return np.float32(step).tobytes() + bz2.compress(differences(values).tobytes())


def unpacked(content: bytes) -> npt.NDArray[np.float16]:
    """Return the log-mel values [T, 128] of :func:`packed`."""
    step = np.frombuffer(content[:4], np.float32)[0]
    changes = np.frombuffer(bz2.decompress(content[4:]), np.uint8).reshape(-1, BANDS)
    return np.asarray(_summed(changes) * step + np.float32(SILENCE), dtype=np.float16)


def pack(archive: Path, folder: Path, patterns: list[str], step: float) -> None:
    """Write the shards of the folder whose names fit the patterns."""
    with zipfile.ZipFile(archive, "w") as output:
        for name in sorted(
            {path.name.removesuffix(".phones.json") for each in patterns for path in folder.glob(f"{each}.phones.json")}
        ):
            output.writestr(name + FEATURES, packed(np.load(folder / f"{name}.npy"), step))
            for ending in (".json", ".phones.json"):
                output.write(folder / (name + ending), name + ending, zipfile.ZIP_DEFLATED)


def unpack(archive: Path, folder: Path, name: str) -> None:
    """Write one shard of an archive, its phones last."""
    with zipfile.ZipFile(archive) as source:
        np.save(folder / f"{name}.npy", unpacked(source.read(name + FEATURES)))
        for ending in (".json", ".phones.json"):
            (folder / (name + ending)).write_bytes(source.read(name + ending))


def main() -> None:
    """Pack or unpack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--names", nargs="+", default=[])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--step", type=float, default=0.6)
    parser.add_argument("--unpack", action="store_true")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    folder = arguments.data / "features"
    if not arguments.unpack:
        pack(arguments.archive, folder, arguments.names, arguments.step)
        return
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(arguments.archive) as source:
        names = [name.removesuffix(FEATURES) for name in source.namelist() if name.endswith(FEATURES)]
    unpacked(packed(np.zeros((1, BANDS), np.float16), 1.0))  # compiled once, for all processes
    with ProcessPoolExecutor(arguments.processes) as pool:
        list(pool.map(partial(unpack, arguments.archive, folder), names))


if __name__ == "__main__":
    main()
