"""Telephone and other lossy lines: band, codec, lost packets, clipping."""

import io

import numpy as np

try:  # without them: the lines that need no codec
    import av
    import soxr
except ImportError:
    av = None  # type: ignore[assignment]

from training.common.audio import SAMPLE_RATE, Audio
from training.small.rooms import reverberate

#: Codec, container, sample rate, bit rates to draw from.
CODECS: dict[str, tuple[str, str, int, tuple[int, ...]]] = {
    "mulaw": ("pcm_mulaw", "wav", 8000, (64000,)),
    "alaw": ("pcm_alaw", "wav", 8000, (64000,)),
    "amr": ("libopencore_amrnb", "amr", 8000, (4750, 7950, 12200)),
    "opus": ("libopus", "ogg", 16000, (8000, 12000, 16000)),
    "g722": ("g722", "wav", 16000, (64000,)),
    "mp3": ("libmp3lame", "mp3", 16000, (16000, 24000)),
}
NARROW = ("mulaw", "mulaw", "alaw", "amr")
WIDE = ("opus", "g722", "mp3")


def through(audio: Audio, codec: str, rng: np.random.Generator) -> Audio:
    """Encode and decode; the result [samples] has the length of the input, but for the codec's delay."""
    name, container, rate, bit_rates = CODECS[codec]
    samples = soxr.resample(audio, SAMPLE_RATE, rate)
    pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
    memory = io.BytesIO()
    with av.open(memory, "w", format=container) as output:
        stream = output.add_stream(name, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = int(rng.choice(bit_rates))
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=rate, frame_size=stream.codec_context.frame_size
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory, "r") as source:
        to_float = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        frames = [part for frame in source.decode(audio=0) for part in to_float.resample(frame)]
        frames += to_float.resample(None)
    decoded = np.concatenate([frame.to_ndarray()[0] for frame in frames]) if frames else np.zeros(0, np.float32)
    return np.pad(decoded, (0, max(0, len(audio) - len(decoded))))[: len(audio)].astype(np.float32)


def band(audio: Audio, low: float, high: float) -> Audio:
    """Keep the frequencies between ``low`` and ``high`` Hz, with soft edges of a tenth."""
    spectrum = np.fft.rfft(audio)
    frequency = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    edges = np.clip((frequency - 0.9 * low) / (0.1 * low), 0, 1) * np.clip(
        (1.1 * high - frequency) / (0.1 * high), 0, 1
    )
    return np.asarray(np.fft.irfft(spectrum * edges, len(audio)), dtype=np.float32)


def companded(audio: Audio, codec: str) -> Audio:
    """Return audio, which has nothing over 4 kHz, after 8 kHz and the 256 steps of ``mulaw`` or ``alaw``."""
    samples = np.clip(audio[::2], -1, 1)
    size = np.abs(samples)
    if codec == "mulaw":
        steps = np.round(np.log1p(255 * size) / np.log(256) * 127) / 127
        size = np.expm1(steps * np.log(256)) / 255
    else:
        a, scale = 87.6, 1 + np.log(87.6)
        steps = np.where(size < 1 / a, a * size, 1 + np.log(np.maximum(a * size, 1))) / scale
        steps = np.round(steps * 127) / 127
        size = np.where(steps < 1 / scale, steps * scale, np.exp(steps * scale - 1)) / a
    spectrum = np.fft.rfft(np.copysign(size, samples))
    return np.asarray(2 * np.fft.irfft(spectrum, 2 * len(samples))[: len(audio)], dtype=np.float32)


def telephone(audio: Audio, codec: str, rng: np.random.Generator) -> Audio:
    """Return the audio after the band of a telephone, 300 to 3400 Hz, and a narrow-band codec."""
    narrow = band(audio, 300, 3400)
    return through(narrow, codec, rng) if av else companded(narrow, codec)


def lose_packets(audio: Audio, rng: np.random.Generator, share: float) -> Audio:
    """Silence a share of the packets of 20 ms."""
    packet = SAMPLE_RATE // 50
    kept = np.repeat(rng.random(-(-len(audio) // packet)) >= share, packet)[: len(audio)]
    return audio * kept


def clip(audio: Audio, rng: np.random.Generator) -> Audio:
    """Amplify by 3 to 12 dB over full scale, and clip."""
    return np.clip(audio / (np.abs(audio).max() + 1e-9) * np.float32(10 ** (rng.uniform(3, 12) / 20)), -1, 1)


def degrade(audio: Audio, rng: np.random.Generator) -> Audio:
    """Apply a random line: half narrow-band, half wide-band; sometimes clipped before, or with lost packets."""
    if rng.random() < 0.2:
        audio = clip(audio, rng)
    if rng.random() < 0.5:
        audio = telephone(audio, str(rng.choice(NARROW if av else NARROW[:3])), rng)
    elif av:
        audio = through(audio, str(rng.choice(WIDE)), rng)
    return lose_packets(audio, rng, rng.uniform(0.01, 0.05)) if rng.random() < 0.15 else audio


def changed(audio: Audio, rng: np.random.Generator) -> Audio:
    """Put a part of the utterances into a room, or on a line, or both."""
    if rng.random() < 0.25:
        audio = reverberate(audio, rng)
    return degrade(audio, rng) if rng.random() < 0.25 else audio
