"""The graphs of a bundle, in whichever layout it has."""

import logging

from legato.errors import BundleError
from legato.model.bundle import Bundle
from legato.runtime.encoder import Encoder
from legato.runtime.native import NativeEncoder
from legato.runtime.optimized import discard, optimized
from legato.runtime.published import PublishedEncoder
from legato.runtime.transducer import OnnxTransducer

logger = logging.getLogger("legato")


def open_graphs(
    bundle: Bundle, threads: int, *, prepack: bool = True, cached: bool = False
) -> tuple[Encoder, OnnxTransducer]:
    """Load encoder, prediction net and joint of a bundle.

    Args:
        threads: threads of the encoder's operators.
        prepack: see `legato.runtime.session.open_session`.
        cached: load the optimized copy of the bundle, if there is one or can be; see `legato.runtime.optimized`.

    Raises:
        BundleError: ONNX Runtime cannot load a graph.
    """
    copy = optimized(bundle) if cached and prepack else None
    if copy is not None:
        try:
            return open_encoder(copy, threads), OnnxTransducer(copy, 1)
        except BundleError as error:
            logger.warning("%s: its optimized copy cannot be loaded and is removed: %s", bundle.name, error)
            discard(copy)
    return open_encoder(bundle, threads, prepack=prepack), OnnxTransducer(bundle, 1, prepack=prepack)


def open_encoder(bundle: Bundle, threads: int, *, prepack: bool = True) -> Encoder:
    """Load the encoder graph of a bundle.

    Args:
        threads: threads of the graph's operators.
        prepack: see `legato.runtime.session.open_session`.

    Raises:
        BundleError: ONNX Runtime cannot load the graph.
    """
    kind = NativeEncoder if bundle.layout == "native" else PublishedEncoder
    return kind(bundle, threads, prepack=prepack)
