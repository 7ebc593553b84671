"""Tokens and encoder frames of INT8 bundles against FP32's, for every chunk size.

    python -m bench.int8_tokens FP32 BUNDLE... --manifest MANIFEST...

The bundles are conversions of one checkpoint. Tokens that differ are the edit distance of the token sequences relative
to the length of FP32's, also with only the encoder, and only the prediction net and joint, from the INT8 bundle. The
error of the frames is the root mean square of the difference, relative to that of FP32's frames. Recordings whose
language the model does not have are recognized as `auto`.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from legato.audio import read_audio
from legato.audio.manifest import read_entries
from legato.chunks import CHUNK_SIZES_MS, FRAME_MS
from legato.lab.scoring import distance
from legato.lab.study.measure import encoder_frames, tokens_of
from legato.model.bundle import open_bundle
from legato.recognizer import Recognizer, load_bundle
from legato.types import Frames

#: Recipes whose results depend on the number of frames in a call.
_BY_TENSOR = "dynamic-per-tensor"


def opened(folder: Path) -> Recognizer:
    """Load a bundle on one thread."""
    return load_bundle(open_bundle(folder), threads=1)


def tokens(recognizer: Recognizer, frames: Frames, chunk_ms: int) -> list[int]:
    """Return the tokens of a greedy search."""
    sizes = recognizer.bundle.sizes
    found = tokens_of(recognizer.pipeline.decoder.transducer, frames, chunk_ms // FRAME_MS, sizes.max_symbols)
    return [emission.token for emission in found]


def main(say: Callable[[str], None] = print) -> None:
    """Measure, and print a line for every bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fp32", type=Path, help="the model in FP32")
    parser.add_argument("bundles", type=Path, nargs="+", help="the same model in INT8")
    parser.add_argument("--manifest", type=Path, nargs="+", required=True, help="recordings")
    parser.add_argument("--every", type=int, default=1, help="use every n-th recording")
    arguments = parser.parse_args()
    exact = opened(arguments.fp32)
    entries = [entry for manifest in arguments.manifest for entry in read_entries(manifest)][:: arguments.every]
    known = set(exact.languages)
    recordings = [(read_audio(e.audio), e.language if e.language in known else "auto") for e in entries]
    cases = [(samples, language or "auto", size) for samples, language in recordings for size in CHUNK_SIZES_MS]
    frames = [encoder_frames(exact, *case, live=False) for case in cases]
    expected = [tokens(exact, found, case[-1]) for found, case in zip(frames, cases, strict=True)]
    count, energy = sum(map(len, expected)), sum(float((found**2).sum()) for found in frames)
    say(f"{len(recordings)} recordings, {count} tokens; tokens that differ, and error of the frames, in %")
    say(f"{'bundle':28} {'tokens':>8} {'encoder':>8} {'joint':>8} {'frames':>8}")
    for folder in arguments.bundles:
        recognizer = opened(folder)
        live = json.loads((folder / "config.json").read_text("utf-8"))["legato"].get("recipe") == _BY_TENSOR
        edits, error = [0, 0, 0], 0.0
        for case, before, wanted in zip(cases, frames, expected, strict=True):
            now = encoder_frames(recognizer, *case, live=live)
            error += float(((now - before) ** 2).sum())
            for part, (model, path) in enumerate(((recognizer, now), (exact, now), (recognizer, before))):
                edits[part] += distance(wanted, tokens(model, path, case[-1]))
        shares = [100 * edit / count for edit in edits] + [100 * (error / energy) ** 0.5]
        say(f"{folder.name:28} " + " ".join(f"{share:8.2f}" for share in shares))


if __name__ == "__main__":
    main()
