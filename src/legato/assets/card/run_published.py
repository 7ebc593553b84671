"""Transcribe a WAV file (16 kHz, mono, 16 bit) with NumPy and ONNX Runtime: python run.py MODEL talk.wav [LANGUAGE]."""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime as ort

model, audio, language = Path(sys.argv[1]), sys.argv[2], (sys.argv[3:] or ["auto"])[0]
config, pieces, languages = (
    json.loads((model / f"{name}.json").read_text("utf-8")) for name in ("config", "vocab", "languages")
)
encoder, decoder, joint = (ort.InferenceSession(model / f"{name}.onnx") for name in ("encoder", "decoder", "joint"))
rate, hop, size, fft = (config[name] for name in ("sampleRate", "hopLength", "winLength", "nFFT"))

# Log-mel features: pre-emphasis, a centered Hann window, power, Slaney's mel bands, logarithm.
with wave.open(audio) as file:
    assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (rate, 1, 2), "not 16 kHz mono 16 bit"
    samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768.0
window = config["streaming"]["melFrames"]
samples = np.pad(samples, (0, -len(samples) % (window * hop)))
samples = samples - config["preEmphasis"] * np.concatenate([[0.0], samples[:-1]])
rows = np.lib.stride_tricks.sliding_window_view(np.pad(samples, size // 2), size)[::hop][: len(samples) // hop]
power = np.abs(np.fft.rfft(rows * np.hanning(size), fft)) ** 2
top = 15 + np.log(rate / 2000) * 27 / np.log(6.4)  # half the rate on Slaney's scale
mels = np.linspace(0, top, config["numMelBins"] + 2)
edges = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))
low, center, high = edges[:-2], edges[1:-1], edges[2:]
hertz = np.linspace(0, rate / 2, fft // 2 + 1)[:, None]
bands = np.maximum(0, np.minimum((hertz - low) / (center - low), (high - hertz) / (high - center))) * 2 / (high - low)
mel = np.log(power @ bands + 2.0**-24).astype(np.float32)

# Encoder: one window of 320 ms after the other, with caches that start at zero.
slot = languages["promptDictionary"].get(language, languages.get("autoSlot"))
mask = np.eye(languages["numPrompts"], dtype=np.float32)[slot][None]
kinds = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
inputs = encoder.get_inputs()[3:]
caches = [np.zeros(value.shape, kinds[value.type]) for value in inputs]
frames = []
for start in range(0, len(mel), window):
    feeds = {"audio_signal": mel[start : start + window].T[None], "audio_length": np.array([window], np.int32)}
    feeds |= {"language_mask": mask, **{value.name: cache for value, cache in zip(inputs, caches, strict=True)}}
    encoded, count, *caches = encoder.run(None, feeds)
    frames += list(encoded[0, : count[0]])

# Greedy search with the prediction net and the joint.
blank = config["blankTokenId"]
state = [np.zeros((config["decoderLayers"], 1, config["decoderHidden"]), np.float32)] * 2


def predict(token: int) -> object:
    """Advance the prediction net by one token."""
    feeds = [np.array([[token]], np.int64), *state]
    names = [value.name for value in decoder.get_inputs()]
    output, *state[:] = decoder.run(None, dict(zip(names, feeds, strict=True)))
    return output


prediction, tokens = predict(blank), []
for frame in frames:
    for _ in range(10):
        logits = joint.run(None, {"encoder_output": frame[None, None], "decoder_output": prediction})[0]
        if (token := int(logits.argmax())) == blank:
            break
        tokens.append(token)
        prediction = predict(token)

words = [piece for piece in (pieces[str(token)] for token in tokens) if not piece.startswith("<")]
print("".join(words).replace("\u2581", " ").strip())
