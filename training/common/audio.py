"""Audio as the training programs use it: float32, mono, 16 kHz."""

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16000

Audio = npt.NDArray[np.float32]


def trim(audio: Audio, threshold_db: float = -38.0) -> Audio:
    """Cut leading and trailing silence: 10 ms blocks more than ``threshold_db`` below the loudest."""
    block = SAMPLE_RATE // 100
    count = len(audio) // block
    if count == 0:
        return audio
    power = (audio[: count * block].reshape(count, block) ** 2).mean(axis=1) + 1e-12
    loud = np.flatnonzero(10 * np.log10(power / power.max()) > threshold_db)
    first = max(0, int(loud[0]) - 1)
    last = min(count, int(loud[-1]) + 2)
    return audio[first * block : last * block]
