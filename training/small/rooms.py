"""Impulse responses of random rooms, by the image-source model of a rectangular room (Allen and Berkley 1979)."""

from itertools import product

import numpy as np

from training.common.audio import SAMPLE_RATE, Audio

SPEED_OF_SOUND = 343.0
#: Reflections along each axis; what comes later is a tail of noise that decays as fast.
ORDER = 5


def impulse_response(rng: np.random.Generator) -> Audio:
    """Return the response [samples] of a room of 2 to 9 m, from a speaker 0.3 to 3 m away; the direct sound is 1."""
    size = rng.uniform([2.2, 2.2, 2.2], [9.0, 7.0, 3.5])
    microphone = rng.uniform(0.15, 0.85, 3) * size
    direction = rng.normal(size=3) * [1.0, 1.0, 0.3]
    offset = direction / np.linalg.norm(direction) * rng.uniform(0.3, 3.0)
    speaker = np.clip(microphone + offset, 0.2, size - 0.2)
    reflection = rng.uniform(0.4, 0.93)
    orders = np.array(list(product(range(-ORDER, ORDER + 1), repeat=3)))
    distances, walls = [], []
    for mirrored in product((0, 1), repeat=3):
        sign = 1 - 2 * np.array(mirrored)
        distances.append(np.linalg.norm(2 * orders * size + sign * speaker - microphone, axis=1))
        walls.append(np.abs(2 * orders - mirrored).sum(axis=1))
    distance, bounces = np.maximum(np.concatenate(distances), 0.1), np.concatenate(walls)
    gain = reflection**bounces / distance
    delay = np.round(distance / SPEED_OF_SOUND * SAMPLE_RATE).astype(np.int64)
    first, last = int(delay.min()), round(2 * ORDER * float(size.min()) / SPEED_OF_SOUND * SAMPLE_RATE)
    response = np.bincount(delay, gain)[first : first + last]
    tail = _tail(size, reflection, rng)
    if len(tail) > len(response):  # continue at the level that the images end with
        block = len(response) // 4
        level = np.sqrt(
            (response[-block:] ** 2).mean() / max((tail[len(response) - block : len(response)] ** 2).mean(), 1e-20)
        )
        response = np.concatenate([response, level * tail[len(response) :]])
    return np.asarray(response / response[0], dtype=np.float32)


def _tail(size: np.ndarray, reflection: float, rng: np.random.Generator) -> np.ndarray:
    """Return noise that falls by 60 dB within the reverberation time (Eyring), at most 1 s."""
    volume = float(size.prod())
    surface = 2 * float(size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    seconds = min(1.0, 0.161 * volume / (-surface * np.log(reflection**2)))
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.asarray(rng.normal(size=len(time)) * 10 ** (-3 * time / seconds))


def reverberate(audio: Audio, rng: np.random.Generator) -> Audio:
    """Return the audio as it sounds in a random room, as long and as loud as before."""
    response = impulse_response(rng)
    count = 1 << (len(audio) + len(response) - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(audio, count) * np.fft.rfft(response, count), count)[: len(audio)]
    return np.asarray(wet * (np.abs(audio).max() / (np.abs(wet).max() + 1e-9)), dtype=np.float32)
