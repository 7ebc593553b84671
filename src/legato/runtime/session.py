"""ONNX Runtime sessions with the settings that Legato needs; the only module that imports ONNX Runtime."""

import functools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.errors import BundleError, InstallationError
from legato.model.fields import printable

# From 1.29 on, ONNX Runtime sends events to its vendor unless this is set before its import. A user may set it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

_NEEDS_NEWER = re.compile(
    r"NOT_IMPLEMENTED|Could not find an implementation|No Op registered|is not a registered function/op"
    r"|Unsupported model IR version|opset \d+ is under development",
    re.IGNORECASE,
)
_FOREIGN = re.compile(r"(?<![\w.])(?!ai\.onnx|com\.microsoft)([\w.]+):\w+\(-?\d+\) is not a registered function/op")


VERSION: str = ort.__version__

OPTIMIZED_RECORD = "optimized.json"
"""File in a folder of graphs that ONNX Runtime has optimized and prepacked (see `legato.runtime.optimized`)."""

#: Microseconds that a thread of an operator waits for the next operator before it sleeps. Most operators follow each
#: other more quickly. Longer waits take the core from other programs: the time of a chunk then doubles.
_SPIN_US = 20
#: The version in which ONNX Runtime got a limit of that time. Earlier ones wait for milliseconds.
_SPIN_LIMITED_FROM = (1, 26)
#: The graph of `multiplies_signed_exactly`: int32[n, 16] = uint8[n, 64] @ int8[64, 16], and all weights are 127.
_SIGNED_PRODUCT = (
    b'\x08\x08:\xd8\x08\n\x18\n\x01x\n\x01w\x12\x01y"\rMatMulInteger\x12\x01g*\x8c\x08\x08@\x08\x10\x10\x03B\x01wJ'
    + (b"\x80\x08" + b"\x7f" * 64 * 16)
    + b"Z\x14\n\x01x\x12\x0f\n\r\x08\x02\x12\t\n\x03\x12\x01n\n\x02\x08@"
    + b"b\x14\n\x01y\x12\x0f\n\r\x08\x06\x12\t\n\x03\x12\x01n\n\x02\x08\x10B\x04\n\x00\x10\r"
)


class Session(ort.InferenceSession):  # type: ignore[misc]  # ONNX Runtime has no types
    """A loaded graph."""

    def run_in_place(
        self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]], others: Sequence[str] = ()
    ) -> list[NDArray[Any]]:
        """Run the graph on arrays of the caller, without copying them, and write its outputs into others.

        Args:
            inputs: every input by name, contiguous.
            outputs: arrays of the right shape and type for outputs by name, contiguous. Such an array may be a part of
                an input if the graph reads that part only after it has computed the output.
            others: names of outputs to return.

        Raises:
            BundleError: ONNX Runtime cannot run the graph.
        """
        binding = self.io_binding()
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name in others:
            binding.bind_output(name)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        try:
            self.run_with_iobinding(binding)
        except Exception as error:  # as in `run`
            raise _refusal(Path(self._model_path), "run", error) from error
        return [value.numpy() for value in binding.get_outputs()[: len(others)]]

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return outputs by name; all of them for None.

        Raises:
            BundleError: ONNX Runtime cannot run the graph.
        """
        try:
            outputs: list[NDArray[Any]] = super().run(names, feeds)
        except Exception as error:  # ONNX Runtime raises types of its own that share no base class
            raise _refusal(Path(self._model_path), "run", error) from error
        return outputs


def open_session(path: Path, threads: int, *, prepack: bool = True, reduce_range: bool = False) -> Session:
    """Load a graph for the CPU.

    Args:
        threads: threads of its operators.
        prepack: keep a rearranged copy of the weights in memory: faster and larger.
        reduce_range: the INT8 weights have 7 bits and need no protection from saturation.

    Raises:
        BundleError: ONNX Runtime cannot load it.
    """
    options = session_options(threads, reduce_range=reduce_range)
    if not prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if (path.parent / OPTIMIZED_RECORD).is_file():
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _load(path, options)


def write_optimized(path: Path, target: Path, *, reduce_range: bool = False) -> None:
    """Write the graph that ONNX Runtime makes of another one for this CPU, with weights that it can map into memory.

    Args:
        path: the graph; its weights have the sign that this CPU needs.
        target: the file to write. The weights are written to a file of this name and `.data`.

    Raises:
        BundleError: ONNX Runtime cannot load the graph, or write the file.
    """
    options = session_options(1, reduce_range=reduce_range)
    options.optimized_model_filepath = str(target)
    for key, value in {
        "session.optimized_model_external_initializers_file_name": f"{target.name}.data",
        "session.optimized_model_external_initializers_min_size_in_bytes": "1024",
        "session.save_external_prepacked_constant_initializers": "1",
    }.items():
        options.add_session_config_entry(key, value)
    _load(path, options)


def _refusal(path: Path, verb: str, error: Exception) -> BundleError:
    """Return why ONNX Runtime cannot load or run a graph, and what to do."""
    reason = printable(" ".join(str(error).split())) or type(error).__name__
    end = reason if len(reason) <= 300 else f"...{reason[-300:]}"  # the beginning names ONNX Runtime's source files
    message = f"{path}: ONNX Runtime cannot {verb} it ({end})."
    if foreign := _FOREIGN.search(reason):
        return BundleError(
            f"{message} It needs an operator of the domain {foreign[1]}, which ONNX Runtime does not have. "
            "Choose another model."
        )
    if _NEEDS_NEWER.search(reason):
        return InstallationError(
            f"{message} It needs operators that ONNX Runtime {ort.__version__} does not have. Update it with: "
            "pip install --upgrade onnxruntime"
        )
    return BundleError(f"{message} Choose another model, or convert the checkpoint again.")


def session_options(threads: int, *, reduce_range: bool = False) -> ort.SessionOptions:
    """Return the session options that Legato needs; arguments as for `open_session`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Without VNNI, U8 x S8 kernels add pairs in 16 bits and saturate silently; this setting makes them exact. With
    # VNNI it would only make them slower.
    exact = reduce_range or multiplies_signed_exactly()
    options.add_session_config_entry("session.x64quantprecision", "0" if exact else "1")
    limited = tuple(map(int, re.findall(r"\d+", VERSION)[:2])) >= _SPIN_LIMITED_FROM
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if limited else "0")
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_US))
    return options


@functools.cache
def multiplies_signed_exactly() -> bool:
    """Return whether the kernels of this CPU for U8 x S8 are exact, by a product that would saturate.

    They are on arm64, and on x86 with VNNI or AMX; the kernels for AVX2 saturate.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = _load(_SIGNED_PRODUCT, options)
    return all(
        bool((session.run(None, {"x": np.full((rows, 64), 255, np.uint8)})[0] == 64 * 255 * 127).all())
        for rows in (1, 8)  # there are other kernels for one row
    )


def _load(model: Path | bytes, options: ort.SessionOptions) -> Session:
    try:
        source = model if isinstance(model, bytes) else str(model)
        return Session(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises types of its own that share no base class
        raise _refusal(model if isinstance(model, Path) else Path("a product of integers"), "load", error) from error
