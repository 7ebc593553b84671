"""Whether a bundle runs: every graph is loaded, and one step of silence is recognized."""

from pathlib import Path

import numpy as np

from legato.chunks import SUBSAMPLING_FACTOR
from legato.errors import BundleError
from legato.model.bundle import Bundle, open_bundle
from legato.runtime.features import LOG_FLOOR
from legato.runtime.open import open_encoder
from legato.runtime.transducer import OnnxTransducer


def check_runs(path: Path) -> Bundle:
    """Open a model folder, load its graphs, and run each of them once.

    Raises:
        BundleError: it cannot be opened, or a graph cannot be run or returns numbers that are not finite.
    """
    bundle = open_bundle(path)
    encoder, transducer = open_encoder(bundle, 1, prepack=False), OnnxTransducer(bundle, 1, prepack=False)
    chunk = bundle.right_contexts[0] + 1
    if bundle.layout != "native":
        chunk = bundle.sizes.window // SUBSAMPLING_FACTOR
    silence = np.full((chunk * SUBSAMPLING_FACTOR, bundle.mel.mel_bins), np.log(LOG_FLOOR), np.float32)
    state = encoder.start(min(bundle.prompts.values()), chunk).accept(silence, last=True)
    [(frames, _)] = encoder.step([state], encoder.ready(state))
    prediction, *_ = transducer.predict(np.array([transducer.blank]), *transducer.initial(1))
    if not len(frames):
        raise BundleError(f"{path}: the encoder returns no frames. Choose another model.")
    logits = transducer.join(frames[None, :1], prediction)
    if not (np.isfinite(frames).all() and np.isfinite(logits).all()):
        raise BundleError(f"{path}: its graphs return numbers that are not finite. Choose another model.")
    return bundle
