"""Forced alignment by CTC: the time of each letter of a known text."""

import numba
import numpy as np
import numpy.typing as npt

_IMPOSSIBLE = -1e30


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _path(scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], blank: int) -> npt.NDArray[np.int64]:
    """Return for each label the step at which the best path reaches it; -1 everywhere if none fits."""
    steps, count = scores.shape[0], len(labels)
    states = 2 * count + 1
    best = np.full(states, _IMPOSSIBLE)
    back = np.zeros((steps, states), np.int8)
    best[0] = scores[0, blank]
    if count:
        best[1] = scores[0, labels[0]]
    for step in range(1, steps):
        for state in range(min(states, 2 * step + 2) - 1, -1, -1):
            label = blank if state % 2 == 0 else labels[state // 2]
            value, choice = best[state], 0
            if state >= 1 and best[state - 1] > value:
                value, choice = best[state - 1], 1
            if state >= 3 and state % 2 and label != labels[state // 2 - 1] and best[state - 2] > value:
                value, choice = best[state - 2], 2
            best[state] = value + scores[step, label]
            back[step, state] = choice
    reached = np.full(count, -1, np.int64)
    if not count:
        return reached
    state = states - 1 if best[states - 1] >= best[states - 2] else states - 2
    if best[state] <= 0.5 * _IMPOSSIBLE:
        return reached
    for step in range(steps - 1, -1, -1):
        if state % 2:
            reached[state // 2] = step
        state -= back[step, state]
    return reached


@numba.njit(cache=True, parallel=True)  # type: ignore[untyped-decorator]
def _paths(
    scores: npt.NDArray[np.float32],
    steps: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    blank: int,
) -> npt.NDArray[np.int64]:
    """Return what :func:`_path` returns for each row; -1 past its end."""
    found = np.full(labels.shape, -1, np.int64)
    for row in numba.prange(len(labels)):
        found[row, : counts[row]] = _path(scores[row, : steps[row]], labels[row, : counts[row]], blank)
    return found


def all_letter_steps(
    scores: npt.NDArray[np.float32],
    steps: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    blank: int,
) -> list[npt.NDArray[np.int64] | None]:
    """Return :func:`letter_steps` of each row: scores [B, T, classes], steps [B], labels [B, L], counts [B]."""
    found = _paths(scores, steps, labels, counts, blank)
    return [None if count and row[0] < 0 else row[:count] for row, count in zip(found, counts, strict=True)]


def letter_steps(
    scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], blank: int
) -> npt.NDArray[np.int64] | None:
    """Return the step [L] at which the best CTC path through ``labels`` [L] first writes each of them.

    ``scores`` [T, classes] are log-probabilities. None if the steps are too few for the labels.
    """
    steps: npt.NDArray[np.int64] = _path(scores, labels, blank)
    return None if len(steps) and steps[0] < 0 else steps
