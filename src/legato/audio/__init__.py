"""Audio in: files, addresses, arrays, raw PCM and microphones become mono float32 at 16 kHz."""
