"""A bundle in the published layout that computes nothing: its graphs return constants, and their `.data` is noise."""

import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper

_WIDTH, _LAYERS, _HIDDEN, _TOKENS = 64, 2, 32, 3
_FLOAT, _INT32, _INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
_Value = tuple[str, int, list[int]]


def tiny_bundle(*, data: dict[str, int]) -> dict[str, bytes]:
    """The contents of its files by name; `data` has the bytes of NAME.onnx.data for each graph."""
    streaming = {
        "chunkMs": 320, "chunkSize": 4, "rightContext": 3, "melFrames": 32, "preCacheSize": 9, "outputFrames": 4,
    }  # fmt: skip
    config = {
        "numMelBins": 128, "sampleRate": 16000, "nFFT": 512, "hopLength": 160, "winLength": 400, "preEmphasis": 0.97,
        "encoderHidden": _WIDTH, "encoderLayers": _LAYERS, "subsamplingFactor": 8, "attentionLeftContext": 56,
        "convCacheSize": 8, "decoderHidden": _HIDDEN, "decoderLayers": 2, "vocabSize": _TOKENS, "blankTokenId": _TOKENS,
        "numPrompts": 128, "streaming": streaming,
    }  # fmt: skip
    languages = {"numPrompts": 128, "autoSlot": 101, "promptDictionary": {"en-US": 0, "auto": 101}}
    noise = np.random.default_rng(0)
    return {
        "config.json": json.dumps(config).encode(),
        "languages.json": json.dumps(languages).encode(),
        "vocab.json": json.dumps({"0": "a", "1": "b", "2": "<en-US>", "3": "<blank>"}).encode(),
        "encoder.onnx": _encoder(),
        "decoder.onnx": _decoder(),
        "joint.onnx": _joint(),
        **{f"{name}.onnx.data": noise.bytes(size) for name, size in data.items()},
    }


def _encoder() -> bytes:
    channel, time = [_LAYERS, 1, 56, _WIDTH], [_LAYERS, 1, _WIDTH, 8]
    caches: list[_Value] = [
        ("pre_cache", _FLOAT, [1, 128, 9]),
        ("cache_last_channel", _FLOAT, channel),
        ("cache_last_time", _FLOAT, time),
        ("cache_last_channel_len", _INT32, [1]),
    ]
    inputs: list[_Value] = [
        ("audio_signal", _FLOAT, [1, 128, 32]),
        ("audio_length", _INT32, [1]),
        ("language_mask", _FLOAT, [1, 128]),
    ]
    constants: list[_Value] = [("encoded_output", _FLOAT, [1, 4, _WIDTH]), ("encoded_length", _INT32, [1])]
    return _graph([*inputs, *caches], constants, [(f"new_{name}", kind, shape) for name, kind, shape in caches])


def _decoder() -> bytes:
    state = [2, 1, _HIDDEN]
    inputs: list[_Value] = [("token", _INT64, [1, 1]), ("h", _FLOAT, state), ("c", _FLOAT, state)]
    outputs: list[_Value] = [("h_out", _FLOAT, state), ("c_out", _FLOAT, state)]
    return _graph(inputs, [("decoder_output", _FLOAT, [1, 1, _HIDDEN])], outputs)


def _joint() -> bytes:
    inputs: list[_Value] = [
        ("encoder_output", _FLOAT, [1, 1, _WIDTH]),
        ("decoder_output", _FLOAT, [1, 1, _HIDDEN]),
    ]
    return _graph(inputs, [("logits", _FLOAT, [1, 1, _TOKENS + 1])], [])


def _graph(inputs: list[_Value], constants: list[_Value], copies: list[_Value]) -> bytes:
    """A graph whose outputs are constants of 4, and then copies of its last inputs."""
    weights = [
        numpy_helper.from_array(np.full(shape, 4, np.float32 if kind == _FLOAT else np.int32), f"{name}/value")
        for name, kind, shape in constants
    ]
    copied = inputs[len(inputs) - len(copies) :]
    nodes = [helper.make_node("Identity", [f"{name}/value"], [name]) for name, *_ in constants]
    nodes += [helper.make_node("Identity", [old[0]], [new[0]]) for old, new in zip(copied, copies, strict=True)]
    values, results = (
        [helper.make_tensor_value_info(*value) for value in each] for each in (inputs, [*constants, *copies])
    )
    graph = helper.make_graph(nodes, "tiny", values, results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
