"""Speed of ONNX Runtime's products on this CPU: billions of multiplications per second of one thread.

    python -m bench.products [--rows 64] [--rounds 30]

A weight of 1024 x 4096 (feed-forward modules of the full-size model) is multiplied with the rows of a step, 4 for each
stream. The fastest round counts, so it is the limit of the kernels and not what a step with all its weights reaches.
Signed weights have 7 bits, with which no CPU saturates.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from legato.runtime.session import session_options

_INPUTS, _OUTPUTS = 1024, 4096
_KINDS = {"U8 x U8": np.uint8, "U8 x S8": np.int8, "FP32": np.float32}


def product(kind: str, rows: int) -> ort.InferenceSession:
    """Return a session that multiplies `rows` rows with a weight of a type."""
    chance = np.random.default_rng(0)
    integer = kind != "FP32"
    weight = chance.integers(0, 64, (_INPUTS, _OUTPUTS)).astype(_KINDS[kind])
    types = (TensorProto.UINT8, TensorProto.INT32) if integer else (TensorProto.FLOAT, TensorProto.FLOAT)
    return session_of(
        [helper.make_node("MatMulInteger" if integer else "MatMul", ["rows", "weight"], ["product"])],
        [helper.make_tensor_value_info("rows", types[0], [rows, _INPUTS])],
        [helper.make_tensor_value_info("product", types[1], [rows, _OUTPUTS])],
        [numpy_helper.from_array(weight, "weight")],
    )


def session_of(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    constants: Sequence[TensorProto],
) -> ort.InferenceSession:
    """Return a session of one thread for a small graph."""
    graph = helper.make_graph(nodes, "bench", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return ort.InferenceSession(model.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    for kind in _KINDS:
        session = product(kind, arguments.rows)
        values = np.random.default_rng(1).integers(0, 255, (arguments.rows, _INPUTS))
        rows = values.astype(np.float32 if kind == "FP32" else np.uint8)
        times = []
        for _ in range(arguments.rounds):
            before = time.perf_counter()
            session.run(None, {"rows": rows})
            times.append(time.perf_counter() - before)
        print(f"{kind}: {arguments.rows * _INPUTS * _OUTPUTS / min(times) / 1e9:.0f}")


if __name__ == "__main__":
    main()
