"""Whether a bundle runs: every graph is loaded, and one step of silence is recognized.

LiteRT ends or blocks the process for some damaged models, so a LiteRT bundle is tried in a process of its own.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from legato import errors
from legato.chunks import SUBSAMPLING_FACTOR
from legato.errors import BundleError
from legato.model.bundle import GRAPHS, Bundle, open_bundle
from legato.model.fields import printable
from legato.model.integrity import REMEDY
from legato.runtime.features import LOG_FLOOR
from legato.runtime.open import open_encoder
from legato.runtime.transducer import OnnxTransducer

_LEAST_SECONDS = 60
_BYTES_PER_SECOND = 10_000_000  # so that it is always enough: machines read and prepare at least ten times as many


def check_runs(path: Path, limit_s: float | None = None) -> Bundle:
    """Open a model folder, load its graphs, and run each of them once.

    Args:
        limit_s: seconds that LiteRT may need; the default depends on the size of the model.

    Raises:
        BundleError: it cannot be opened, or a graph cannot be run or returns numbers that are not finite.
    """
    bundle = open_bundle(path)
    if bundle.layout == "litert":
        size = sum(bundle.graph_file(graph).stat().st_size for graph in GRAPHS)
        _run_aside(path, limit_s or _LEAST_SECONDS + size / _BYTES_PER_SECOND)
    else:
        _run(bundle)
    return bundle


def _run_aside(path: Path, limit_s: float) -> None:
    command = [sys.executable, "-m", __name__, str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=limit_s, text=True, encoding="utf-8", errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"{path}: LiteRT did not run its graphs within {limit_s:.0f} s. {REMEDY}") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line and not line.startswith("INFO:")]
        lines = lines or ["it printed nothing"]
        raise BundleError(
            f"{path}: LiteRT cannot run its graphs: its process died with exit code {done.returncode} "
            f"({printable(lines[-1][:300])}). {REMEDY}"
        )
    answer = json.loads(done.stdout or "{}")
    if answer:
        raise getattr(errors, answer["kind"])(answer["error"])


def _run(bundle: Bundle) -> None:
    encoder, transducer = open_encoder(bundle, 1, prepack=False), OnnxTransducer(bundle, 1, prepack=False)
    chunk = bundle.right_contexts[0] + 1
    if bundle.layout != "native":
        chunk = bundle.sizes.window // SUBSAMPLING_FACTOR
    silence = np.full((chunk * SUBSAMPLING_FACTOR, bundle.mel.mel_bins), np.log(LOG_FLOOR), np.float32)
    state = encoder.start(min(bundle.prompts.values()), chunk).accept(silence, last=True)
    [(frames, _)] = encoder.step([state], encoder.ready(state))
    prediction, *_ = transducer.predict(np.array([transducer.blank]), *transducer.initial(1))
    if not len(frames):
        raise BundleError(f"{bundle.path}: the encoder returns no frames. Choose another model.")
    logits = transducer.join(frames[None, :1], prediction)
    if not (np.isfinite(frames).all() and np.isfinite(logits).all()):
        raise BundleError(f"{bundle.path}: its graphs return numbers that are not finite. Choose another model.")


if __name__ == "__main__":
    try:
        _run(open_bundle(Path(sys.argv[1])))
    except BundleError as error:
        print(json.dumps({"kind": type(error).__name__, "error": str(error)}))
