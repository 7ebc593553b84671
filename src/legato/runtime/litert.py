"""LiteRT models with the interface of ONNX Runtime's sessions; the only module that runs LiteRT."""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.errors import BundleError, InstallationError
from legato.installation import install_command
from legato.model.contract import PUBLISHED
from legato.model.fields import printable
from legato.model.interface import Role
from legato.model.tflite_file import INPUT, OUTPUT, role_names

_TYPES = {"float32": "float", "float16": "float16"}
_NEEDS_NEWER = re.compile(r"find op for builtin opcode|builtin_code out of range", re.IGNORECASE)
_FOREIGN = re.compile(r"custom op|TensorFlow op", re.IGNORECASE)


@dataclass(frozen=True)
class LiteRtTensor:
    """An input or output.

    Attributes:
        name: its role, see `legato.model.contract`; its own name if it has none.
        type: its type as ONNX Runtime writes it, such as `tensor(int64)`.
        shape: its shape.
        index: its number in the model.
    """

    name: str
    type: str
    shape: list[int]
    index: int


class LiteRtSession:
    """One model of a LiteRT bundle. Calls from several threads wait for each other."""

    def __init__(self, path: Path, graph: str, threads: int) -> None:
        """Load a model for the CPU; LiteRT runs it with XNNPACK.

        Args:
            graph: `encoder`, `decoder` or `joint`.
            threads: threads of its operators.

        Raises:
            BundleError: LiteRT is not installed, or cannot load the model.
        """
        try:
            # Of the extra `litert`.
            from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415
        except ImportError as error:
            raise InstallationError(
                f"{path}: LiteRT models need packages that cannot be imported ({error}). "
                f"Install them with: {install_command('litert')}"
            ) from error
        inputs, outputs = PUBLISHED[graph]
        self._path = path
        with _explained(path, "load"):
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
            self._inputs = _by_role(self._interpreter.get_input_details(), INPUT, inputs)
            self._outputs = _by_role(self._interpreter.get_output_details(), OUTPUT, outputs)
        self._lock = threading.Lock()

    def get_inputs(self) -> list[LiteRtTensor]:
        """Return the inputs in the order of their roles."""
        return self._inputs

    def get_outputs(self) -> list[LiteRtTensor]:
        """Return the outputs in the order of their roles."""
        return self._outputs

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model once.

        Args:
            names: the outputs to return; None for all.
            feeds: the inputs by role; integers are converted to the type of the model.

        Returns:
            The outputs as new arrays.

        Raises:
            BundleError: LiteRT cannot run the model.
        """
        indices = {tensor.name: tensor.index for tensor in self._outputs}
        with self._lock, _explained(self._path, "run"):
            for tensor in self._inputs:
                value = feeds[tensor.name]
                dtype = np.int64 if tensor.type == "tensor(int64)" else value.dtype
                self._interpreter.set_tensor(tensor.index, np.ascontiguousarray(value, dtype))
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(indices[name]) for name in (indices if names is None else names)]


@contextmanager
def _explained(path: Path, verb: str) -> Iterator[None]:
    """Turn what LiteRT raises into a BundleError that names the file and says what to do."""
    try:
        yield
    except Exception as error:  # LiteRT raises ValueError, RuntimeError, UnicodeDecodeError and others
        reason = printable(" ".join(str(error).split())) or type(error).__name__
        message = f"{path}: LiteRT cannot {verb} it ({reason[:300]})."
        if _NEEDS_NEWER.search(reason):
            raise InstallationError(
                f"{message} It needs operators that the installed ai-edge-litert does not have. Update it with: "
                "pip install --upgrade ai-edge-litert"
            ) from error
        if _FOREIGN.search(reason):
            message += " It needs operators that are not LiteRT's own. Choose another model."
            raise BundleError(message) from error
        raise BundleError(f"{message} Choose another model, or convert the checkpoint again.") from error


def _by_role(details: list[dict[str, Any]], pattern: re.Pattern[str], roles: Sequence[Role]) -> list[LiteRtTensor]:
    """Return the tensors in the order of their roles; those without a role at the end."""
    names = role_names([detail["name"] for detail in details], pattern, roles)
    order = {role.name: place for place, role in enumerate(roles)}
    tensors = [_describe(name, detail) for name, detail in zip(names, details, strict=True)]
    return sorted(tensors, key=lambda tensor: order.get(tensor.name, len(order)))


def _describe(role: str, detail: dict[str, Any]) -> LiteRtTensor:
    name = np.dtype(detail["dtype"]).name
    return LiteRtTensor(role, f"tensor({_TYPES.get(name, name)})", detail["shape"].tolist(), detail["index"])
