"""Read audio from files, addresses, arrays, raw PCM and microphones as mono float32 samples at 16 kHz.

Importing this package does not load FFmpeg or soxr: they load when audio is opened or resampled.
"""

from legato.audio.resample import SAMPLE_RATE
from legato.audio.source import open_audio, read_audio

__all__ = ["SAMPLE_RATE", "open_audio", "read_audio"]
