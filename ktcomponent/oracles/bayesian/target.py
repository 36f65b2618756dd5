"""Scores as a model learns from them: smaller is better, mean 0 and variance 1, and no outlier hides the rest."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]

FAR = 10.0
"""See `Target.of`; 4 is where Tukey's limit lies if scores are distributed symmetrically."""
LAMBDAS = np.arange(-2.0, 3.01, 0.25)


@dataclasses.dataclass
class Target:
    """A monotonic map of scores, and back.

    Attributes:
        values: The mapped scores that it was made from.
        middle, spread: A relative score of 0 is the score `middle`, and one of 1 is larger by `spread`.
        low, high: The range of relative scores that was seen.
    """

    values: Array
    middle: float
    spread: float
    low: float
    high: float
    _power: float | None
    _mean: float
    _deviation: float

    @classmethod
    def of(cls, scores: Array, power: bool, in_rungs: bool = False) -> Target:
        """A map for these scores, of which smaller is better.

        Scores far worse than the rest (beyond the third quartile by 1.5 times the range between the quartiles: J. W.
        Tukey, "Exploratory Data Analysis", 1977; between the third and the best where half of all are equal) are taken to
        be as bad as that and no worse. Where a quarter or more are outliers, that quartile is one too: so the limit is
        also at most `FAR` times as far above the median as the first quartile lies below it. With `power` scores are then
        made more alike to a normal distribution: I.-K. Yeo, R. A. Johnson, Biometrika 87 (2000).

        In rungs many short trainings are close to the best, so that second limit soon closes in on it, and how bad
        ordinary trials were would be lost. There scores grow by their logarithm from that limit on, and end at twice it.
        """
        # In quarters nothing overflows.
        low, middle, high = (float(q) for q in np.quantile(scores / 4.0, [0.25, 0.5, 0.75]))
        limit = high + 1.5 * (high - (low if high > low else float(np.min(scores / 4.0))))
        limit = limit if limit > high else math.inf
        y = np.minimum(scores / 4.0, limit) - middle
        far = FAR * (middle - low)
        if 0.0 < far < float(np.max(y)):
            beyond = np.log(np.clip(y, far, math.e * far) / far) if in_rungs else 0.0
            y = np.where(y > far, far * (1.0 + beyond), y)
        size = float(np.max(np.abs(y))) or 1.0
        y = y / size
        deviation = float(np.std(y)) or 1.0
        y = y / deviation
        low, high = float(np.min(y)), float(np.max(y))
        best = None
        if power:
            best = float(LAMBDAS[int(np.argmax([_log_likelihood(y, p) for p in LAMBDAS]))])
            y = yeo_johnson(y, best)
        mean, sd = float(np.mean(y)), float(np.std(y))
        sd = sd if sd > 1e-12 else 1.0
        return cls((y - mean) / sd, 4.0 * middle, 4.0 * (size * deviation), low, high, best, mean, sd)

    def relative(self, value: float) -> float:
        """The relative score that a mapped one stands for; not far beyond what was seen, where the map back explodes."""
        y = value * self._deviation + self._mean
        y = y if self._power is None else yeo_johnson_back(y, self._power)
        width = self.high - self.low
        return min(max(y, self.low - width), self.high + width)


def yeo_johnson(y: Array, power: float) -> Array:
    """Power transform of numbers of either sign; monotonic, and y itself with power 1."""
    up = special.boxcox1p(np.maximum(y, 0.0), power)
    down = special.boxcox1p(np.maximum(-y, 0.0), 2.0 - power)
    return np.asarray(np.where(y >= 0, up, -down))


def yeo_johnson_back(y: float, power: float) -> float:
    """The inverse; beyond the transform's range, its end."""
    lam, size = (power, y) if y >= 0 else (2.0 - power, -y)
    if lam * size <= -1.0 + 1e-9:
        size = (-1.0 + 1e-9) / lam
    return math.copysign(float(special.inv_boxcox1p(size, lam)), y)


def _log_likelihood(y: Array, power: float) -> float:
    z = yeo_johnson(y, power)
    variance = float(np.var(z))
    if not variance > 1e-12 or not math.isfinite(variance):
        return -math.inf
    return -0.5 * len(y) * math.log(variance) + (power - 1.0) * float(
        np.sum(np.sign(y) * np.log1p(np.abs(y)))
    )
