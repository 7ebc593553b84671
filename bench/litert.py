"""LiteRT bundles against ONNX FP32 on recordings: error of the encoder's frames, equal tokens, memory.

    python -m bench.litert FP32 BUNDLE... --manifest MANIFEST [--seconds 60]

FP32 is a bundle of the same checkpoint in the published layout. The error is the root mean square of the difference of
the encoder's frames, relative to that of FP32's frames. Every bundle runs in a process of its own, with one thread;
`peak` is the largest resident size of the process, `private` what of it was not in files at the end. Bundles in any
layout with chunks of 320 ms can be compared. `python -m bench.encoder_step` measures the time.
"""

import argparse
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import legato
from legato.audio import SAMPLE_RATE, read_audio
from legato.audio.manifest import read_entries
from legato.decode.greedy import greedy_search, start_search
from legato.types import Frames

_CHUNK_MS = 320


@dataclass(frozen=True)
class Result:
    """What one bundle gave: frames and tokens of every recording, and memory in MB."""

    frames: list[Frames]
    tokens: list[list[int]]
    peak: float
    private: float


def run(folder: Path, manifest: Path, seconds: float) -> Result:
    """Recognize recordings until there are `seconds` of them."""
    recognizer = legato.load(folder, threads=1)
    known, left = set(recognizer.languages), round(seconds * SAMPLE_RATE)
    transducer, most = recognizer.pipeline.decoder.transducer, recognizer.bundle.sizes.max_symbols
    frames, tokens = [], []
    for entry in read_entries(manifest):
        samples = read_audio(entry.audio)[:left]
        language = entry.language if entry.language in known else "auto"
        frames.append(recognizer.encode(samples, language=language, chunk_ms=_CHUNK_MS))
        [(emissions, _)] = greedy_search(transducer, frames[-1:], [start_search(transducer)], most)
        tokens.append([emission.token for emission in emissions])
        left -= len(samples)
        if left <= 0:
            break
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text("utf-8").splitlines())
    private = int(status["RssAnon"].split()[0]) / 1e3
    return Result(frames, tokens, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, private)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    arguments = parser.parse_args()
    expected: Result | None = None
    for folder in arguments.bundles:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            found = process.submit(run, folder, arguments.manifest, min(arguments.seconds, 1e6)).result()
        expected = expected or found
        pairs = list(zip(found.frames, expected.frames, strict=True))
        energy = sum(float(np.sum(b.astype(np.float64) ** 2)) for _, b in pairs)
        error = (sum(float(np.sum((a.astype(np.float64) - b) ** 2)) for a, b in pairs) / energy) ** 0.5
        same = sum(a == b for a, b in zip(found.tokens, expected.tokens, strict=True))
        print(
            f"{folder.name:16} error {error:8.1e}  same tokens {same} of {len(found.tokens)}  "
            f"peak {found.peak:6.0f} MB  private {found.private:6.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
