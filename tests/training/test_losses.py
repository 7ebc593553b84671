"""The losses of the training programs against direct computations; skipped without their requirements."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="training/small/requirements.txt is not installed")
pytest.importorskip("numba", reason="training/small/requirements.txt is not installed")

from training.common.alignment import letter_steps  # noqa: E402
from training.common.band import WIDTH, band_index, band_loss, band_starts  # noqa: E402
from training.common.losses import transducer_loss  # noqa: E402

BLANK = 10


def band_of(full: Any, starts: Any, counts: Any) -> Any:
    return full.gather(2, band_index(starts, counts)[..., None].expand(-1, -1, -1, full.shape[3]))


def test_a_band_as_wide_as_the_text_is_the_full_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, BLANK, (3, 4), generator=generator)
    counts, frames = torch.tensor([4, 2, 3]), torch.tensor([20, 15, 9])
    full = torch.randn(3, 20, 5, BLANK + 1, generator=generator, requires_grad=True)
    starts = torch.zeros(3, 20, dtype=torch.long)
    ours = band_loss(band_of(full, starts, counts), labels, starts, frames, counts, BLANK)
    theirs = transducer_loss(full, labels, frames, counts, BLANK)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), full)[0] for loss in (ours, theirs)))


def by_recursion(scores: NDArray[np.float64], labels: list[int], frames: int, starts: NDArray[np.int64]) -> float:
    """Negative log-likelihood over the whole lattice, without the nodes outside the band."""
    reached = np.full((frames, len(labels) + 1), -np.inf)
    for t, u in itertools.product(range(frames), range(len(labels) + 1)):
        if not starts[t] <= u < starts[t] + WIDTH:
            continue
        ways = [0.0] if (t, u) == (0, 0) else []
        if t:
            ways.append(reached[t - 1, u] + scores[t - 1, u, BLANK])
        if u > starts[t]:
            ways.append(reached[t, u - 1] + scores[t, u - 1, labels[u - 1]])
        reached[t, u] = np.logaddexp.reduce(ways) if ways else -np.inf
    return float(-(reached[-1, -1] + scores[frames - 1, -1, BLANK]))


def test_a_narrow_band_leaves_out_what_is_outside() -> None:
    generator, rng = torch.Generator().manual_seed(1), np.random.default_rng(1)
    labels = torch.randint(0, BLANK, (3, 9), generator=generator)
    counts, frames = [9, 8, 7], [20, 15, 9]
    starts = np.stack([band_starts(np.sort(rng.integers(0, f, n)), 20) for f, n in zip(frames, counts, strict=True)])
    assert starts.max() > 0
    full = torch.randn(3, 20, 10, BLANK + 1, generator=generator)
    bounds = torch.from_numpy(starts)
    ours = band_loss(
        band_of(full, bounds, torch.tensor(counts)), labels, bounds, torch.tensor(frames), torch.tensor(counts), BLANK
    )
    scores = full.double().log_softmax(-1).numpy()
    for row in range(3):
        count = counts[row]
        theirs = by_recursion(scores[row, :, : count + 1], labels[row, :count].tolist(), frames[row], starts[row])
        assert float(ours[row]) == pytest.approx(theirs, rel=1e-5)


def collapsed(path: tuple[int, ...]) -> list[int]:
    return [label for label, _ in itertools.groupby(path) if label != 2]


@pytest.mark.parametrize("labels", [[0, 1], [0, 0], [1], []])
def test_alignment_is_the_best_path_of_all(labels: list[int]) -> None:
    scores = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    fitting = [path for path in itertools.product(range(3), repeat=5) if collapsed(path) == labels]
    best = max(fitting, key=lambda path: sum(scores[step, label] for step, label in enumerate(path)))
    first = [step for step in range(5) if best[step] != 2 and (step == 0 or best[step] != best[step - 1])]
    found = letter_steps(scores, np.array(labels, np.int64), 2)
    assert found is not None
    assert found.tolist() == first


def test_a_text_too_long_for_its_frames_has_no_alignment() -> None:
    assert letter_steps(np.zeros((2, 3), np.float32), np.array([0, 0], np.int64), 2) is None
