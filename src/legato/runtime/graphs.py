"""The graphs of a bundle, opened with the library that its layout needs."""

from legato.model.bundle import Bundle
from legato.runtime.litert import LiteRtSession
from legato.runtime.session import Session, open_session


def open_graph(bundle: Bundle, graph: str, threads: int, *, prepack: bool = True) -> Session | LiteRtSession:
    """Load one graph of a bundle.

    Args:
        graph: `encoder`, `decoder` or `joint`.
        threads: threads of its operators.
        prepack: see `legato.runtime.session.open_session`; LiteRT always keeps a rearranged copy of the weights.

    Raises:
        BundleError: the library is not installed, or cannot load the graph.
    """
    path = bundle.graph_file(graph)
    if bundle.layout == "litert":
        return LiteRtSession(path, graph, threads)
    return open_session(path, threads, prepack=prepack, reduce_range=has_narrow_weights(bundle, graph))


def has_narrow_weights(bundle: Bundle, graph: str) -> bool:
    """Return whether all signed integer weights of a graph have 7 bits: multiplied by U8 they cannot saturate."""
    # Those of prediction net and joint in the native layout have 7 bits in every recipe.
    return bundle.reduce_range or (bundle.layout == "native" and graph != "encoder")
