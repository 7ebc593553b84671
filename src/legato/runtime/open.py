"""The encoder of a bundle, in whichever layout it has."""

from legato.model.bundle import Bundle
from legato.runtime.encoder import Encoder
from legato.runtime.native import NativeEncoder
from legato.runtime.published import PublishedEncoder


def open_encoder(bundle: Bundle, threads: int, *, prepack: bool = True) -> Encoder:
    """Load the encoder graph of a bundle.

    Args:
        bundle: the open bundle.
        threads: threads of the graph's operators.
        prepack: see `legato.runtime.session.open_session`.

    Raises:
        BundleError: ONNX Runtime cannot load the graph.
    """
    kind = NativeEncoder if bundle.layout == "native" else PublishedEncoder
    return kind(bundle, threads, prepack=prepack)
