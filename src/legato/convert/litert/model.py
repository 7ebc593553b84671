"""A TFLite model that is collected operator by operator, and the file that it becomes.

The schema is that of the package `ai-edge-litert`. Large weights follow the flatbuffer in the file, where the fields
`offset` and `size` of their buffers say: they are computed and written one at a time, and a flatbuffer of at most 2 GB
describes a file of any size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import DTypeLike, NDArray

#: Weights of at least so many bytes are written after the flatbuffer.
_LARGE = 1024
#: Offsets of weights are multiples of it: one cache line.
_ALIGNMENT = 64
_IDENTIFIER = b"TFL3"
_VERSION = 3

#: Types of tensors by their name in numpy.
TYPES: dict[str, int] = {
    name: getattr(schema.TensorType, name.upper()) for name in ("float32", "float16", "int64", "int32", "int8", "bool")
}

#: The options of each operator that has any, by the start of their name in the schema.
_OPTIONS = {
    "ADD": "Add", "BATCH_MATMUL": "BatchMatMul", "CAST": "Cast", "CONCATENATION": "Concatenation",
    "CONV_2D": "Conv2D", "DEPTHWISE_CONV_2D": "DepthwiseConv2D", "DEQUANTIZE": "Dequantize", "DIV": "Div",
    "FULLY_CONNECTED": "FullyConnected", "GATHER": "Gather", "GREATER_EQUAL": "GreaterEqual", "LESS": "Less",
    "LOGICAL_AND": "LogicalAnd", "MAXIMUM": "MaximumMinimum", "MEAN": "Reducer", "MINIMUM": "MaximumMinimum",
    "MUL": "Mul", "PAD": "Pad", "RESHAPE": "Reshape", "SELECT_V2": "SelectV2", "SLICE": "Slice", "SOFTMAX": "Softmax",
    "SPLIT": "Split", "SUB": "Sub", "TRANSPOSE": "Transpose",
}  # fmt: skip
#: Versions of the operators that are not in their first one.
_VERSIONS = {"DEQUANTIZE": 3, "FULLY_CONNECTED": 6}
#: FULLY_CONNECTED with float32 inputs and int8 weights with one scale per output channel.
_HYBRID_VERSION = 12


@dataclass(eq=False)
class Tensor:
    """A tensor of the model.

    Attributes:
        name: its name.
        dtype: type of its elements.
        shape: its shape.
        read: computes the values of a weight; None for a tensor that an operator computes, or an input.
        scales: computes float32[shape[0]], one scale per row of an int8 weight; None for other types.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]] | None = None
    scales: Callable[[], NDArray[np.float32]] | None = None

    @property
    def nbytes(self) -> int:
        """Size of its values in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class _Operator:
    kind: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    options: dict[str, Any]


class Model:
    """Collects the operators of one graph.

    Attributes:
        inputs, outputs: in the order in which they were declared.
    """

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self._operators: list[_Operator] = []

    def input(self, dtype: DTypeLike, shape: Sequence[int]) -> Tensor:
        """Declare the next input, named as converters of the published models name it."""
        tensor = Tensor(f"serving_default_args_{len(self.inputs)}:0", np.dtype(dtype), tuple(shape))
        self.inputs.append(tensor)
        return tensor

    def output(self, tensor: Tensor) -> None:
        """Declare the next output, named as converters of the published models name it."""
        tensor.name = f"StatefulPartitionedCall:{len(self.outputs)}"
        self.outputs.append(tensor)

    def add(self, kind: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], **options: Any) -> None:
        """Add an operator. Options have the names of the schema; those not given are its defaults."""
        self._operators.append(_Operator(kind, inputs, outputs, options))

    def save(self, path: Path, description: str, progress: Callable[[int, int], object]) -> None:
        """Write the file.

        Args:
            description: a line for people.
            progress: called after every large weight with the number of those written, and of all.
        """
        operators = self._needed()
        used = [*self.inputs, *(tensor for operator in operators for tensor in (*operator.inputs, *operator.outputs))]
        tensors = list(dict.fromkeys(used))
        large = [tensor for tensor in tensors if tensor.read and tensor.nbytes >= _LARGE]
        model, buffers = _describe(tensors, operators, self.inputs, self.outputs, description)
        # The length of the flatbuffer does not depend on the offsets, as long as none is 0.
        start = len(_pack(model))
        places: list[int] = []
        for tensor in large:
            places.append(-(-start // _ALIGNMENT) * _ALIGNMENT)
            buffers[tensor].offset, buffers[tensor].size = places[-1], tensor.nbytes
            start = places[-1] + tensor.nbytes
        with path.open("wb") as file:
            file.write(_pack(model))
            for done, (tensor, place) in enumerate(zip(large, places, strict=True), 1):
                _write(file, tensor, place)
                progress(done, len(large))

    def _needed(self) -> list[_Operator]:
        """Return the operators that an output depends on."""
        wanted = set(self.outputs)
        kept = []
        for operator in reversed(self._operators):
            if wanted.intersection(operator.outputs):
                kept.append(operator)
                wanted.update(operator.inputs)
        return kept[::-1]


def _write(file: BinaryIO, tensor: Tensor, place: int) -> None:
    file.write(bytes(place - file.tell()))
    file.write(_values(tensor).data)


def _values(tensor: Tensor) -> NDArray[Any]:
    assert tensor.read
    values = np.asarray(tensor.read(), tensor.dtype.newbyteorder("<"), order="C")
    assert values.shape == tensor.shape, (tensor.name, values.shape, tensor.shape)
    return values


def _pack(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _describe(
    tensors: list[Tensor],
    operators: list[_Operator],
    inputs: list[Tensor],
    outputs: list[Tensor],
    description: str,
) -> tuple[schema.ModelT, dict[Tensor, schema.BufferT]]:
    """Return the model with a placeholder as offset and size of every large weight, and the weights' buffers."""
    numbers = {tensor: number for number, tensor in enumerate(tensors)}
    buffers = {tensor: _buffer(tensor) for tensor in tensors if tensor.read}
    places = {tensor: number for number, tensor in enumerate(buffers, 1)}  # buffer 0 is empty by convention
    codes: dict[tuple[str, int], int] = {}
    described = []
    for operator in operators:
        version, options = _VERSIONS.get(operator.kind, 1), _OPTIONS.get(operator.kind)
        if operator.options.get("asymmetricQuantizeInputs"):
            version = _HYBRID_VERSION
        entry = schema.OperatorT()
        entry.opcodeIndex = codes.setdefault((operator.kind, version), len(codes))
        entry.inputs = [numbers[tensor] for tensor in operator.inputs]
        entry.outputs = [numbers[tensor] for tensor in operator.outputs]
        if options:
            entry.builtinOptionsType = getattr(schema.BuiltinOptions, f"{options}Options")
            entry.builtinOptions = getattr(schema, f"{options}OptionsT")()
            vars(entry.builtinOptions).update(operator.options)
        described.append(entry)
    graph = schema.SubGraphT()
    graph.name = "main"
    graph.tensors = [_tensor(tensor, places.get(tensor, 0)) for tensor in tensors]
    graph.inputs, graph.outputs = ([numbers[tensor] for tensor in side] for side in (inputs, outputs))
    graph.operators = described
    model = schema.ModelT()
    model.version, model.description = _VERSION, description
    model.operatorCodes = [_code(kind, version) for kind, version in codes]
    model.subgraphs = [graph]
    model.buffers = [schema.BufferT(), *buffers.values()]
    model.signatureDefs = [_signature(graph.inputs, graph.outputs)]
    return model, buffers


def _buffer(tensor: Tensor) -> schema.BufferT:
    buffer = schema.BufferT()
    if tensor.nbytes >= _LARGE:
        buffer.offset = buffer.size = 1
    else:
        buffer.data = np.frombuffer(_values(tensor).tobytes(), np.uint8)
    return buffer


def _tensor(tensor: Tensor, buffer: int) -> schema.TensorT:
    entry = schema.TensorT()
    entry.name, entry.type, entry.shape = tensor.name, TYPES[tensor.dtype.name], list(tensor.shape)
    entry.buffer, entry.hasRank = buffer, True
    if tensor.scales:
        entry.quantization = schema.QuantizationParametersT()
        entry.quantization.scale = tensor.scales().astype(np.float32)
        entry.quantization.zeroPoint = np.zeros(tensor.shape[0], np.int64)
        entry.quantization.quantizedDimension = 0
    return entry


def _code(kind: str, version: int) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # where readers look that know fewer operators
    code.version = version
    return code


def _signature(inputs: list[int], outputs: list[int]) -> schema.SignatureDefT:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = (
        [_entry(f"{name}_{place}", number) for place, number in enumerate(side)]
        for name, side in (("args", inputs), ("output", outputs))
    )
    return signature


def _entry(name: str, number: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, number
    return entry
