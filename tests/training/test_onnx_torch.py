"""ONNX graphs with PyTorch: quantised products as floats, operators, and audio at 16 kHz; skipped without PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training/small/requirements.txt is not installed")
pytest.importorskip("onnx")

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from training.common.graph import load
from training.common.kokoro_torch import resampler, to_16_khz
from training.common.onnx_torch import Program

RNG = np.random.default_rng(3)


def run(path: Path, nodes: list[Any], constants: dict[str, Any], x: np.ndarray) -> tuple[Program, np.ndarray]:
    """Write a graph from ``x`` to ``y``, check it with ONNX Runtime, and return what PyTorch makes of it."""
    import onnxruntime

    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * x.ndim)],
        [helper.make_empty_tensor_value_info("y")],
        tensors,
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    expected = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    program = Program(load(path), torch.device("cpu"))
    result = program({"x": torch.from_numpy(x)})[0].numpy()
    assert result.shape == expected.shape
    # A step of the quantised input is 1/255 of its range.
    assert np.abs(result - expected).max() < 0.02 * np.abs(expected).max()
    return program, result


def quantised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = np.float32(np.abs(values).max() / 127)
    return np.round(values / scale).astype(np.int8), np.asarray(scale)


@pytest.mark.parametrize("op", ["MatMulInteger", "ConvInteger"])
def test_a_dynamically_quantised_product_becomes_one_of_floats(op: str, tmp_path: Path) -> None:
    conv = op == "ConvInteger"
    weight, scale = quantised(RNG.normal(size=(6, 4, 3) if conv else (4, 6)))
    bias = RNG.normal(size=6).astype(np.float32)
    constants = {"w": weight, "w_scale": scale, "w_zero": np.zeros((), np.int8), "bias": bias}
    constants["column"] = np.array([1, -1, 1], np.int64)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node(
            op,
            ["q", "w", "zero", "w_zero"],
            ["product"],
        ),
        helper.make_node("Mul", ["scale", "w_scale"], ["scales"]),
    ]
    if conv:  # with the bias in whole steps
        nodes[1].attribute.extend(
            helper.make_attribute(name, value)
            for name, value in {
                "kernel_shape": [3],
                "strides": [1],
                "pads": [1, 1],
                "dilations": [1],
                "group": 1,
            }.items()
        )
        nodes += [
            helper.make_node("Div", ["bias", "scales"], ["steps"]),
            helper.make_node("Floor", ["steps"], ["floor"]),
            helper.make_node("Cast", ["floor"], ["whole"], to=TensorProto.INT32),
            helper.make_node("Reshape", ["whole", "column"], ["added"]),
            helper.make_node("Add", ["product", "added"], ["sum"]),
        ]
    nodes += [
        helper.make_node("Cast", ["sum" if conv else "product"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scales"], ["y" if conv else "scaled"]),
    ]
    if not conv:
        nodes.append(helper.make_node("Add", ["bias", "scaled"], ["y"]))
    x = RNG.normal(size=(1, 4, 20) if conv else (2, 5, 4)).astype(np.float32)
    program, result = run(tmp_path / "model.onnx", nodes, constants, x)
    assert [node.op for node in program.graph.nodes] == ["Conv" if conv else "Linear"]
    weights = torch.from_numpy(weight.astype(np.float32) * scale)
    tensor = torch.from_numpy(x)
    exact = torch.nn.functional.conv1d(tensor, weights, padding=1) if conv else tensor @ weights
    exact += torch.from_numpy(bias[:, None] if conv else bias)
    np.testing.assert_allclose(result, exact.numpy(), atol=1e-5)


def test_a_quantised_lstm_becomes_one_of_floats(tmp_path: Path) -> None:
    constants: dict[str, Any] = {"b": RNG.normal(size=(2, 8 * 5)).astype(np.float32)}
    for name, size in (("w", 3), ("r", 5)):
        halves = [quantised(RNG.normal(size=(size, 4 * 5))) for _ in range(2)]
        constants[name] = np.stack([half[0] for half in halves])
        constants[f"{name}_scale"] = np.stack([half[1] for half in halves])
        constants[f"{name}_zero"] = np.zeros(2, np.int8)
    inputs = ["x", "w", "r", "b", "", "", "", "", "w_scale", "w_zero", "r_scale", "r_zero"]
    node = helper.make_node(
        "DynamicQuantizeLSTM", inputs, ["y"], domain="com.microsoft", direction="bidirectional", hidden_size=5
    )
    run(tmp_path / "model.onnx", [node], constants, RNG.normal(size=(7, 1, 3)).astype(np.float32))


def test_a_normalization_of_small_operators_becomes_one(tmp_path: Path) -> None:
    constants = {
        "axes": np.array([2], np.int64),
        "epsilon": np.array(1e-5, np.float32),
        "gain": RNG.normal(size=(1, 4, 1)).astype(np.float32),
        "shift": RNG.normal(size=(1, 4, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "axes"], ["variance"], keepdims=1),
        helper.make_node("Add", ["variance", "epsilon"], ["shifted"]),
        helper.make_node("Sqrt", ["shifted"], ["deviation"]),
        helper.make_node("Div", ["centred", "deviation"], ["normal"]),
        helper.make_node("Mul", ["gain", "normal"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["y"]),
    ]
    x = RNG.normal(size=(1, 4, 50)).astype(np.float32)
    program, _ = run(tmp_path / "model.onnx", nodes, constants, x)
    assert [node.op for node in program.graph.nodes] == ["InstanceNorm", "AddMul"]


def test_shapes_are_computed_on_the_host(tmp_path: Path) -> None:
    constants = {"two": np.array(2, np.int64), "first": np.array([0], np.int64), "rest": np.array([-1], np.int64)}
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "two"], ["length"]),
        helper.make_node("Unsqueeze", ["length", "first"], ["row"]),
        helper.make_node("Concat", ["row", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    program, result = run(tmp_path / "model.onnx", nodes, constants, RNG.normal(size=(2, 3, 5)).astype(np.float32))
    assert result.shape == (5, 6)
    changed = program({"x": torch.zeros(2, 3, 5)}, {"target": np.flip})[0]
    assert changed.shape == (6, 5)  # the target was an array of the host


@pytest.mark.parametrize(("hertz", "kept"), [(100, True), (5000, True), (7200, True), (8200, False), (11000, False)])
def test_audio_at_16_khz_keeps_what_is_below_8_khz_and_nothing_else(hertz: int, kept: bool) -> None:
    time = np.arange(24000) / 24000
    result = to_16_khz(torch.from_numpy(np.sin(2 * np.pi * hertz * time).astype(np.float32)), resampler()).numpy()
    assert result.shape == (16000,)
    expected = np.sin(2 * np.pi * hertz * np.arange(16000) / 16000) if kept else np.zeros(16000)
    np.testing.assert_allclose(result[200:-200], expected[200:-200], atol=2e-3)
