"""LiteRT models with the interface of ONNX Runtime's sessions; the only module that runs LiteRT."""

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from legato.errors import BundleError
from legato.installation import install_command
from legato.model.contract import PUBLISHED
from legato.model.interface import Role
from legato.model.tflite_file import INPUT, OUTPUT, role_numbers

_TYPES = {"float32": "float", "float16": "float16"}


@dataclass(frozen=True)
class LiteRtTensor:
    """An input or output.

    Attributes:
        name: its role, see `legato.model.contract`.
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
            BundleError: LiteRT is not installed, or cannot load the model, or it has other inputs or outputs.
        """
        try:
            # Of the extra `litert`.
            from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415
        except ImportError as error:
            raise BundleError(
                f"{path}: LiteRT models need packages that cannot be imported ({error}). "
                f"Install them with: {install_command('litert')}"
            ) from error
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(
                f"{path}: LiteRT cannot load it ({str(error).strip()}). Download or convert the model again."
            ) from error
        inputs, outputs = PUBLISHED[graph]
        self._inputs = _by_role(path, self._interpreter.get_input_details(), INPUT, inputs)
        self._outputs = _by_role(path, self._interpreter.get_output_details(), OUTPUT, outputs)
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
        """
        wanted = [tensor for tensor in self._outputs if names is None or tensor.name in names]
        with self._lock:
            for tensor in self._inputs:
                value = feeds[tensor.name]
                dtype = np.int64 if tensor.type == "tensor(int64)" else value.dtype
                self._interpreter.set_tensor(tensor.index, np.ascontiguousarray(value, dtype))
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(tensor.index) for tensor in wanted]


def _by_role(
    path: Path, details: list[dict[str, Any]], pattern: re.Pattern[str], roles: Sequence[Role]
) -> list[LiteRtTensor]:
    """Return the tensors in the order of their roles."""
    numbers = role_numbers([detail["name"] for detail in details], pattern, len(roles))
    if numbers is None:
        raise BundleError(f"{path}: has {len(details)} tensors, not {len(roles)}. Choose another model.")
    tensors = [_describe(roles[number].name, detail) for number, detail in zip(numbers, details, strict=True)]
    return [tensors[numbers.index(place)] for place in range(len(roles))]


def _describe(role: str, detail: dict[str, Any]) -> LiteRtTensor:
    name = np.dtype(detail["dtype"]).name
    return LiteRtTensor(role, f"tensor({_TYPES.get(name, name)})", detail["shape"].tolist(), detail["index"])
