"""ONNX Runtime sessions with the settings that Legato needs."""

import os
from pathlib import Path

import onnxruntime as ort

from legato.errors import BundleError


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_threads() -> int:
    """Threads for one recogniser when nothing else is said: the cores this process may use, at most 4."""
    return min(available_cores(), 4)


def open_session(path: Path, threads: int, *, prepack: bool = True, narrow: bool = False) -> ort.InferenceSession:
    """Load a graph for the CPU.

    Args:
        path: the graph.
        threads: threads of its operators.
        prepack: make a second, rearranged copy of the weights, which is faster.
        narrow: signed weights are of 7 bits, and need no protection from saturation.

    Raises:
        BundleError: ONNX Runtime cannot load it.
    """
    options = session_options(threads, narrow=narrow)
    if not prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises types of its own that share no base class
        raise BundleError(
            f"{path}: ONNX Runtime cannot load it ({error}). Download or convert the model again."
        ) from error


def session_options(threads: int, *, narrow: bool = False) -> ort.SessionOptions:
    """What Legato asks of ONNX Runtime; see `open_session`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Without VNNI, U8 x S8 kernels sum pairs in 16 bits and saturate silently; this makes them exact. It changes
    # nothing for U8 weights and on CPUs with VNNI.
    options.add_session_config_entry("session.x64quantprecision", "0" if narrow else "1")
    # Waiting threads that spin double the time of a chunk when another process wants the core.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
