"""CPU time of the products with the attention's caches if these are FP32, FP16 or INT8.

    python -m bench.cache_types [--streams 16] [--rounds 7]

The caches are those of the full-size model: keys and values of 24 layers, 8 heads of 128 channels, 60 frames, a query
of 4 frames. ONNX Runtime's products on a CPU read FP32. So FP16 caches need a `Cast` and INT8 caches a
`DequantizeLinear`, which write what the product then reads.
"""

import argparse
import time

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from bench.products import session_of

_LAYERS, _HEADS, _WIDTH, _FRAMES, _QUERY = 24, 8, 128, 60, 4
_TYPES = {
    "FP32": (None, TensorProto.FLOAT),
    "FP16": ("Cast", TensorProto.FLOAT16),
    "INT8": ("DequantizeLinear", TensorProto.INT8),
}


def product(kind: str, rows: int) -> ort.InferenceSession:
    """Return a session that multiplies a query with a cache of a type."""
    conversion, cache_type = _TYPES[kind]
    nodes = [helper.make_node("MatMul", ["query", "cache" if conversion is None else "values"], ["product"])]
    if conversion == "Cast":
        nodes.insert(0, helper.make_node("Cast", ["cache"], ["values"], to=TensorProto.FLOAT))
    elif conversion is not None:
        nodes.insert(0, helper.make_node(conversion, ["cache", "scale"], ["values"]))
    inputs = [
        helper.make_tensor_value_info("query", TensorProto.FLOAT, [rows, _QUERY, _WIDTH]),
        helper.make_tensor_value_info("cache", cache_type, [rows, _WIDTH, _FRAMES]),
    ]
    outputs = [helper.make_tensor_value_info("product", TensorProto.FLOAT, [rows, _QUERY, _FRAMES])]
    return session_of(nodes, inputs, outputs, [helper.make_tensor("scale", TensorProto.FLOAT, [], [0.03])])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    rows = arguments.streams * _HEADS
    chance = np.random.default_rng(0)
    query = chance.normal(size=(rows, _QUERY, _WIDTH)).astype(np.float32)
    values = [chance.normal(size=(rows, _WIDTH, _FRAMES)).astype(np.float32) for _ in range(2 * _LAYERS)]
    caches: dict[str, list[NDArray[np.generic]]] = {
        "FP32": list(values),
        "FP16": [value.astype(np.float16) for value in values],
        "INT8": [np.clip(value / 0.03, -127, 127).astype(np.int8) for value in values],
    }
    sessions = {kind: product(kind, rows) for kind in _TYPES}
    times: dict[str, list[float]] = {kind: [] for kind in _TYPES}
    for _ in range(arguments.rounds):
        for kind, session in sessions.items():
            before = time.thread_time()
            for cache in caches[kind]:
                session.run(None, {"query": query, "cache": cache})
            times[kind].append(1000 * (time.thread_time() - before))
    for kind, found in times.items():
        megabytes = sum(cache.nbytes for cache in caches[kind]) / 1e6
        print(f"{kind}: {np.median(found):6.1f} ms, {megabytes:.0f} MB")


if __name__ == "__main__":
    main()
