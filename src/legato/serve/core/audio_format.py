"""Raw audio as clients send it; the package for audio decodes it."""

from legato.audio.pcm import AudioDecoder, AudioFormat, Encoding

__all__ = ["AudioDecoder", "AudioFormat", "Encoding"]
