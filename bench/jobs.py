"""Gain of `legato transcribe DIR --jobs N`: the same folder with several numbers of jobs, alternately.

    python -m bench.jobs [--model FOLDER] [--manifest M] [--files 24] [--seconds 60] [--jobs 1,4] [--rounds 3]

Every file is a sequence of clips. A run is the whole command including its start; the shortest of the rounds counts.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.clips import MANIFEST, MODEL, Clip, load_clips
from legato.audio import SAMPLE_RATE


def write_files(folder: Path, clips: Sequence[Clip], files: int, seconds: float) -> None:
    """Write WAV files of the given length."""
    rng = np.random.default_rng(1)
    for number in range(files):
        row = np.concatenate([clips[int(which)].samples for which in rng.permutation(len(clips))])
        samples = np.resize(row, round(seconds * SAMPLE_RATE))
        with wave.open(str(folder / f"{number:03}.wav"), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="A folder of files with several numbers of jobs.")
    parser.add_argument("--model", default=str(MODEL), help="name or folder of a model")
    parser.add_argument("--manifest", type=Path, default=MANIFEST)
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--jobs", default="1,4")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    numbers = [int(each) for each in arguments.jobs.split(",")]
    times: dict[int, list[float]] = {number: [] for number in numbers}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, load_clips(arguments.manifest), arguments.files, arguments.seconds)
        command = [sys.executable, "-m", "legato", "transcribe", name, "--model", arguments.model, "--overwrite"]
        for _ in range(arguments.rounds):
            for number in numbers:
                began = time.perf_counter()
                subprocess.run([*command, "--jobs", str(number)], check=True, stderr=subprocess.DEVNULL)
                times[number].append(time.perf_counter() - began)
    audio = arguments.files * arguments.seconds
    for number in numbers:
        least = min(times[number])
        shown = " ".join(f"{seconds:.2f}" for seconds in times[number])
        ratio = min(times[numbers[0]]) / least
        print(f"{number} jobs: {least:.2f} s ({shown}), {audio / least:.0f} times real time, gain {ratio:.2f}")


if __name__ == "__main__":
    main()
