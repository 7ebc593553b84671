"""Log-mel features exactly as the model's feature extractor computes them."""

import librosa
import numpy as np
import torch

from training.common.audio import SAMPLE_RATE, Audio

HOP = 160
N_FFT = 512
WINDOW = 400
BANDS = 128
PREEMPHASIS = 0.97
LOG_GUARD = 2.0**-24

_WINDOW = torch.hann_window(WINDOW, periodic=False)
_FILTERS = torch.from_numpy(
    librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=BANDS, fmin=0.0, fmax=SAMPLE_RATE / 2, norm="slaney")
).float()


def log_mel(audio: Audio) -> torch.Tensor:
    """Return [frames, 128] from float32 [samples]; frames = samples // 160."""
    signal = torch.from_numpy(np.ascontiguousarray(audio))
    signal = torch.cat([signal[:1], signal[1:] - PREEMPHASIS * signal[:-1]])
    spectrum = torch.stft(
        signal, N_FFT, hop_length=HOP, win_length=WINDOW, window=_WINDOW, pad_mode="constant", return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()
    return torch.log(_FILTERS @ power + LOG_GUARD).T[: len(audio) // HOP].contiguous()
