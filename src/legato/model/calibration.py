"""The calibration of a model: from the confidence of a word to the probability that the word is right.

It is a file of its own in the bundle, which `legato calibrate` writes (see `legato.lab.calibration`). Readers of
bundles that do not know it ignore it. It applies to the default confidence: `max_prob` of each token, and `min` over
the tokens of a word. The map is monotonic, so it may be applied to the tokens: the smallest stays the smallest.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from legato.errors import BundleError, OutputError
from legato.files import sha256_of, write_text_atomically
from legato.model.fields import FieldError, Fields, read_json

CALIBRATION = "calibration.json"

Method = Literal["temperature", "isotonic"]

#: Confidences have four digits. The least is not 0, which would say that a word is certainly wrong.
LEAST = 1e-4
_FORMAT = 1
_MOST_BYTES = 1 << 20
_MOST_POINTS = 1000
_MODEL = "config.json"


#: A word with this probability is wrong in half of the cases, and in one of five.
UNSURE, DOUBTFUL = 0.5, 0.8


@dataclass(frozen=True, slots=True)
class Marks:
    """The confidences below which words should be marked.

    Attributes:
        unsure: words below it are wrong in at least half of the cases.
        doubtful: words below it are wrong in at least one of five cases.
    """

    unsure: float
    doubtful: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """A monotonic map from confidences to probabilities.

    Attributes:
        method: which of the two follows.
        temperature: the logit of the confidence is divided by it (Guo et al. 2017, arXiv:1706.04599).
        points: pairs of confidence and probability, both ascending; linear between them and constant outside (centered
            isotonic regression, Oron & Flournoy 2017, arXiv:1701.05964).
        fit: what it was fitted on and how good it is, as `legato calibrate` recorded it.
    """

    method: Method
    temperature: float = 1.0
    points: tuple[tuple[float, float], ...] = ()
    fit: dict[str, Any] | None = None

    def probabilities(self, confidences: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability, in (0, 1) and with four digits, for each of float64[n] confidences."""
        if self.method == "temperature":
            found = 1 / (1 + np.exp(-logit(confidences) / self.temperature))
        else:
            given, wanted = (np.array(column, np.float64) for column in zip(*self.points, strict=True))
            found = np.interp(confidences, given, wanted)
        return np.asarray(np.round(np.clip(found, LEAST, 1 - LEAST), 4))

    def __call__(self, confidence: float) -> float:
        """Return the probability for one confidence."""
        return float(self.probabilities(np.array([confidence]))[0])

    def marks(self, *, calibrated: bool) -> Marks:
        """Return the recommended marks, on the scale of calibrated or of raw confidences."""
        if calibrated:
            return Marks(UNSURE, DOUBTFUL)
        grid = np.arange(10_001) / 10_000
        places = np.searchsorted(self.probabilities(grid), [UNSURE, DOUBTFUL])
        unsure, doubtful = (float(grid[min(int(place), 10_000)]) for place in places)
        return Marks(unsure, doubtful)


def logit(confidences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logits of confidences, which are cut off at half of the last digit so that they are finite."""
    inside = np.clip(confidences, LEAST / 2, 1 - LEAST / 2)
    return np.asarray(np.log(inside / (1 - inside)))


def read_calibration(folder: Path) -> Calibration | None:
    """Read the calibration of a bundle; None if it has none.

    Raises:
        BundleError: it is not a calibration, or not of this model.
    """
    file = folder / CALIBRATION
    try:
        return _read(folder, file)
    except FileNotFoundError:
        return None
    except FieldError as error:
        raise BundleError(f"{error} Run 'legato calibrate' again, or delete the file.") from None


def _read(folder: Path, file: Path) -> Calibration:
    fields = Fields(read_json(file, _MOST_BYTES), str(file))
    if fields.integer("format", 0, 1 << 31) > _FORMAT:
        raise BundleError(f"{file}: a newer Legato made this calibration. Update Legato.")
    if fields.text("model", 64) != sha256_of(folder / _MODEL):
        raise FieldError(f"{file}: is of another model than {folder / _MODEL}.")
    method = fields.text("method", 20)
    fit = dict(fields.section("fit").items(100))
    if method == "temperature":
        return Calibration("temperature", temperature=fields.number("temperature", 1e-3, 1e3), fit=fit)
    if method != "isotonic":
        raise FieldError(f"{file}: method: expected temperature or isotonic, found {method!r}.")
    confidences, probabilities = (fields.numbers(name, 0, 1, _MOST_POINTS) for name in ("confidence", "probability"))
    if len(confidences) != len(probabilities):
        raise FieldError(f"{file}: has {len(confidences)} confidences and {len(probabilities)} probabilities.")
    if any(a >= b for a, b in pairwise(confidences)) or any(a > b for a, b in pairwise(probabilities)):
        raise FieldError(f"{file}: the confidences and probabilities are not in ascending order.")
    return Calibration("isotonic", points=tuple(zip(confidences, probabilities, strict=True)), fit=fit)


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write the calibration of a bundle; an existing one is replaced.

    Raises:
        OutputError: the folder cannot be written to.
    """
    values: dict[str, Any] = {"format": _FORMAT, "model": sha256_of(folder / _MODEL), "method": calibration.method}
    if calibration.method == "temperature":
        values["temperature"] = calibration.temperature
    else:
        values["confidence"], values["probability"] = (list(column) for column in zip(*calibration.points, strict=True))
    values["fit"] = calibration.fit or {}
    try:
        write_text_atomically(folder / CALIBRATION, json.dumps(values) + "\n")
    except OSError as error:
        raise OutputError(
            f"{folder / CALIBRATION}: cannot be written: {error.strerror}. Calibrate a copy of the model's folder."
        ) from None
