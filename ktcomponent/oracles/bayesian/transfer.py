"""`Ensemble`: what trials of earlier studies say, for as long as they are right.

Each earlier study has a process of its own. A new trial's scores tell which of the processes would have put the trials in their
right order; who orders them as well as the study's own process has a say, and who doesn't is dropped.

Source: M. Feurer, B. Letham, E. Bakshy, "Scalable Meta-Learning for Bayesian Optimization using Ranking-Weighted Gaussian
Process Ensembles", AutoML workshop at ICML 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ktcomponent.oracles.bayesian.gaussian_process import GaussianProcess

Array = npt.NDArray[np.float64]

DRAWS = 64
DROPPED = 0.95
"""An earlier study is dropped where half of its draws misplace more trials than this part of the own process's draws."""
LEAST, MOST_JUDGED = 3, 200
"""With fewer trials there is nothing to judge by, and all earlier studies have the same say; of more than 200 some are
drawn, since all pairs are compared."""


class Predicting(Protocol):
    """What an acquisition needs to know of scores."""

    def predict(self, Z: Array) -> tuple[Array, Array]: ...

    def predict_with_gradient(self, Z: Array) -> tuple[Array, Array, Array, Array]: ...


class Ensemble:
    """Several processes, each with a weight; means add up, and so do variances.

    Args:
        processes: Each of scores with mean 0 and variance 1.
        weights: As many numbers that add up to 1.
    """

    def __init__(self, processes: Sequence[GaussianProcess], weights: Array) -> None:
        self._members = [(p, float(w)) for p, w in zip(processes, weights, strict=True) if w > 0]

    def predict(self, Z: Array) -> tuple[Array, Array]:
        mean, variance = np.zeros(len(Z)), np.zeros(len(Z))
        for process, weight in self._members:
            m, s = process.predict(Z)
            mean += weight * m
            variance += (weight * s) ** 2
        return mean, np.sqrt(variance)

    def predict_with_gradient(self, Z: Array) -> tuple[Array, Array, Array, Array]:
        mean, variance = np.zeros(len(Z)), np.zeros(len(Z))
        by_mean, by_variance = np.zeros_like(Z), np.zeros_like(Z)
        for process, weight in self._members:
            m, s, m_slopes, s_slopes = process.predict_with_gradient(Z)
            mean += weight * m
            variance += (weight * s) ** 2
            by_mean += weight * m_slopes
            by_variance += 2.0 * weight**2 * s[:, None] * s_slopes
        deviation = np.sqrt(variance)
        return mean, deviation, by_mean, by_variance / (2.0 * deviation[:, None])


def weights(
    earlier: Sequence[GaussianProcess], own: GaussianProcess, Z: Array, y: Array, rng: np.random.Generator
) -> Array:
    """What each earlier process has to say, and, last, the own one: numbers that add up to 1.

    Args:
        earlier: Processes of earlier studies.
        own: The process of this study's trials, which knows their scores.
        Z: The features of its trials, an array (n, F).
        y: Their scores, n numbers.
        rng: Draws.
    """
    if len(y) < LEAST:
        return np.append(np.full(len(earlier), 1.0 / len(earlier)), 0.0)
    judged = np.sort(rng.permutation(len(y))[:MOST_JUDGED])
    # The own process knows these scores: each is predicted from the others.
    means, deviations = own.leave_one_out()
    predicted = [process.predict(Z[judged]) for process in earlier] + [(means[judged], deviations[judged])]
    losses = np.array([_misplaced(_draws(*told, rng), y[judged]) for told in predicted])
    limit = np.quantile(losses[-1], DROPPED)
    dropped = np.append(np.median(losses[:-1], axis=1) > limit, False)
    losses[dropped] = np.inf
    best = losses == losses.min(axis=0)
    # A tie goes to the own process where it is in it.
    best[:-1] &= ~best[-1]
    return np.asarray((best / best.sum(axis=0)).mean(axis=1))


def _draws(mean: Array, deviation: Array, rng: np.random.Generator) -> Array:
    return mean + deviation * rng.standard_normal((DRAWS, len(mean)))


def _misplaced(draws: Array, y: Array) -> Array:
    """How many pairs of trials are in the wrong order, in each draw."""
    below, really = draws[:, :, None] < draws[:, None, :], y[:, None] < y[None, :]
    return np.asarray((below != really).sum(axis=(1, 2)), float)
