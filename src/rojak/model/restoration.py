"""Whether a particle was said at a place where none was decoded: a logistic model on a few numbers, kept as JSON.

Reads and writes `restoration.json` in a model folder. `restore` asks it while decoding, `rojak fit-particles` makes it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rojak.errors import InputError
from rojak.runs import read_json, write_json

RESTORATION_FILE = "restoration.json"
FORMAT = "rojak-restoration-1"
FEATURES = (
    "score_gain",
    "first_chance",
    "next_chance",
    "token_chance",
    "sharpness",
    "fit_gain",
    "stretch_s",
    "speech_s",
    "level_db",
    "silence_s",
    "lengthening",
    "pitch_end",
    "pitch_slope",
    "at_end",
    "at_start",
    "margin",
    "share",
    "prior",
)
"""What is known of a candidate, in order; `restore.describe` says how each is measured."""
_RIDGE = 1.0
"""Strength of the pull of the weights towards 0, in examples."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Restoration:
    """A fitted decision.

    Attributes:
        mean: Of each feature over the examples.
        scale: Standard deviation of each.
        weights: Of the scaled features.
        bias: Log-odds where every feature is at its mean.
        threshold: Least probability at which a particle is put back.
        priors: Particle to the log of its share among the particles of the examples; others are never put back.
        fitted_on: What it was made from and how good it was, for the reader.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    threshold: float
    priors: dict[str, float]
    fitted_on: dict[str, Any]

    def probability(self, features: npt.ArrayLike) -> Array:
        """Give the probability that each candidate was said; `(candidates, features)` to `(candidates,)`."""
        scaled = (np.atleast_2d(np.asarray(features, dtype=float)) - self.mean) / np.asarray(self.scale)
        return _sigmoid(scaled @ np.asarray(self.weights) + self.bias)


def fit(features: Array, said: Array, priors: dict[str, float]) -> Restoration:
    """Fit a ridge logistic regression by Newton's method; its threshold is still to be chosen.

    Args:
        features: `(examples, features)`.
        said: `(examples,)`, 1 where the particle was said.
        priors: Particle to log share.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    inputs = np.hstack([(features - mean) / scale, np.ones((len(features), 1))])
    ridge = np.diag([*[_RIDGE] * features.shape[1], 0.0])
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        chances = _sigmoid(inputs @ weights)
        gradient = inputs.T @ (said - chances) - ridge @ weights
        curvature = (inputs * (chances * (1 - chances))[:, None]).T @ inputs + ridge
        step = np.linalg.solve(curvature + 1e-6 * np.eye(len(curvature)), gradient)
        weights = weights + step
        if np.abs(step).max() < 1e-6:
            break
    return Restoration(
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(weights[:-1].tolist()),
        bias=float(weights[-1]),
        threshold=1.0,
        priors=priors,
        fitted_on={},
    )


def choose_threshold(probabilities: Array, said: Array, precision: float) -> float:
    """Give the lowest threshold above which this share of the candidates was said, counting one more wrong.

    The one more makes a threshold that only a handful of candidates pass count for less. 1 (never) where none is found.
    """
    order = np.argsort(-probabilities, kind="stable")
    right = np.cumsum(said[order])
    good = np.flatnonzero(right / (np.arange(len(order)) + 2) >= precision)
    return float(probabilities[order[good[-1]]]) if len(good) else 1.0


def _sigmoid(value: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(value, -40, 40)))


def write_restoration(folder: Path, restoration: Restoration) -> None:
    """Write `restoration.json` atomically."""
    write_json(folder / RESTORATION_FILE, {"format": FORMAT, "features": list(FEATURES), **asdict(restoration)})


def read_restoration(folder: Path) -> Restoration | None:
    """Read a model folder's `restoration.json`; None where there is none.

    Raises:
        InputError: It was made by another version of Rojak, or is no such file.
    """
    path = folder / RESTORATION_FILE
    if not path.is_file():
        return None
    values = read_json(path)
    try:
        if values.pop("format") != FORMAT or tuple(values.pop("features")) != FEATURES:
            raise ValueError
        numbers: dict[str, Any] = {name: tuple(map(float, values.pop(name))) for name in ("mean", "scale", "weights")}
        restoration = Restoration(**numbers, **values)
        _check_lengths(restoration.mean, restoration.scale, restoration.weights)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{path} is not what this version writes; make it anew with `rojak fit-particles`.") from None
    return restoration


def _check_lengths(*rows: Sequence[float]) -> None:
    if any(len(row) != len(FEATURES) for row in rows):
        raise ValueError
