"""ONNX Runtime sessions with the settings that Legato needs; the only module that imports ONNX Runtime."""

import os
from pathlib import Path

from legato.errors import BundleError

# From 1.29 on, ONNX Runtime sends events to its vendor unless this is set before its import. A user may set it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort


class Session(ort.InferenceSession):  # type: ignore[misc]  # ONNX Runtime has no types
    """A loaded graph."""


def open_session(path: Path, threads: int, *, prepack: bool = True, reduce_range: bool = False) -> Session:
    """Load a graph for the CPU.

    Args:
        path: the graph.
        threads: threads of its operators.
        prepack: keep a rearranged copy of the weights in memory: faster and larger.
        reduce_range: the INT8 weights have 7 bits and need no protection from saturation.

    Raises:
        BundleError: ONNX Runtime cannot load it.
    """
    options = session_options(threads, reduce_range=reduce_range)
    if not prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return Session(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises types of its own that share no base class
        raise BundleError(
            f"{path}: ONNX Runtime cannot load it ({error}). Download or convert the model again."
        ) from error


def session_options(threads: int, *, reduce_range: bool = False) -> ort.SessionOptions:
    """Return the session options that Legato needs; arguments as for `open_session`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Without VNNI, U8 x S8 kernels add pairs in 16 bits and saturate silently; this setting makes them exact. It
    # changes nothing for U8 weights or on CPUs with VNNI.
    options.add_session_config_entry("session.x64quantprecision", "0" if reduce_range else "1")
    # Threads that spin while they wait double the time of a chunk when another process needs the core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
