"""From what is known of trials to the values that are worth a trial most."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ktcomponent.oracles.bayesian.acquisition import log_expected_improvement, lower_confidence_bound
from ktcomponent.oracles.bayesian.climbing import climb
from ktcomponent.oracles.bayesian.known import Evidence
from ktcomponent.oracles.bayesian.model_space import ModelSpace, Values, distinct
from ktcomponent.oracles.bayesian.surrogate import Feasibility, Scores, Surrogate

Array = npt.NDArray[np.float64]

MOST, LOOKED_AT, APART = 5, 400, 0.1
"""So many candidates at most are taken from the best points, each so far from better ones in some position."""
LEAST_STEP = 1e-4
"""A trial that differs from another one by less in every position tells nothing new."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)


@dataclasses.dataclass
class Candidate:
    """Values worth a trial, and why: see `Trial.why`."""

    values: Values
    why: dict[str, Any]


class Worth:
    """What a trial at a point is worth: the logarithm of the expected improvement (or a confidence bound), and of the
    probability that it doesn't fail.

    Args:
        space: The search space as arrays.
        scores: What is known of scores.
        feasibility: What is known of failures, if there were any.
        beta: With a number the lower confidence bound is taken, which it governs.
        caution: How much the probability counts.
    """

    def __init__(
        self,
        space: ModelSpace,
        scores: Scores,
        feasibility: Feasibility | None,
        beta: float | None,
        caution: float = 1.0,
    ) -> None:
        self._space = space
        self._scores = scores
        self._feasibility = feasibility
        self._beta = beta
        self._caution = caution
        self._columns = np.flatnonzero(space.is_continuous)

    def values(self, points: Array) -> Array:
        """Of points, an array (m, d): m numbers."""
        Z = self._space.features(points)
        value = self._acquired(*self._scores.process.predict(Z))[0]
        if self._feasibility is not None:
            value = value + self._caution * self._feasibility.log_probability(Z)
        return value

    def gradient(self, points: Array) -> tuple[Array, Array]:
        """The same, and its gradient by the positions of continuous columns: m numbers, an array (m, d)."""
        Z = self._space.features(points)
        m, s, m_slopes, s_slopes = self._scores.process.predict_with_gradient(Z)
        value, by_m, by_s = self._acquired(m, s)
        slopes = by_m[:, None] * m_slopes + by_s[:, None] * s_slopes
        if self._feasibility is not None:
            log_p, p_slopes = self._feasibility.log_probability_with_gradient(Z)
            value, slopes = value + self._caution * log_p, slopes + self._caution * p_slopes
        gradient = np.zeros_like(points)
        gradient[:, self._columns] = slopes[:, self._space.first_features[self._columns]]
        return value, np.where(np.isnan(points), 0.0, gradient)

    def _acquired(self, m: Array, s: Array) -> tuple[Array, Array, Array]:
        if self._beta is not None:
            return lower_confidence_bound(m, s, self._beta)
        return log_expected_improvement(m, s, self._scores.incumbent)


def propose(
    surrogate: Surrogate,
    evidence: Evidence,
    beta: float | None,
    rng: np.random.Generator,
    is_tried: Callable[[Values], bool],
    drawn: int | None = None,
) -> list[Candidate]:
    """Untried values, the best first, and a few others that are not close to better ones; none if all that were looked
    at were tried.

    Args:
        surrogate: The models, which may know earlier trials.
        evidence: All trials.
        beta: See `Worth`.
        rng: Draws.
        is_tried: Whether a trial has such values already.
        drawn: The best of so many points drawn at random is taken; None to look for the best of all.
    """
    space, completed, failed = surrogate.space, evidence.completed, evidence.failed
    # Two views of the scores by turns: one that trusts differences of scores, and one that trusts their order more.
    power = (len(completed.ids) + len(evidence.pending)) % 2 == 1
    scores = surrogate.scores(completed, evidence.pending, power)
    feasibility = (
        surrogate.feasibility(evidence.ended, failed, space.pinned(evidence.pending))
        if failed.any()
        else None
    )
    # Every failure in a row counts: a search ends when there are too many.
    worth = Worth(space, scores, feasibility, beta, caution=10.0 ** min(evidence.in_a_row, 4))
    if drawn is None:
        points, _ = climb(space, worth.values, worth.gradient, scores.best, rng)
    else:
        points = distinct(space.legal(rng.random((drawn, space.dimensions))))
        points = points[np.argsort(-worth.values(points), kind="stable")]
    chosen: list[Array] = []
    candidates: list[Candidate] = []
    known = np.vstack([space.pinned(evidence.ended.points), space.pinned(evidence.pending)])
    for point, values in _untried(space, points, known, is_tried):
        at = np.nan_to_num(point, nan=0.5)
        if all(np.abs(at - other).max() >= APART for other in chosen):
            chosen.append(at)
            candidates.append(Candidate(values, _reason(space, scores, feasibility, point)))
            if len(candidates) == MOST:
                break
    return candidates


def _untried(
    space: ModelSpace, points: Array, known: Array, is_tried: Callable[[Values], bool]
) -> Iterable[tuple[Array, Values]]:
    """Points whose values no trial has, those that are all but the same as a trial's last."""
    found, close = 0, []
    known = np.nan_to_num(known, nan=-1.0)
    for point in points:
        values = space.decode(point)
        if is_tried(values):
            continue
        if np.abs(known - np.nan_to_num(point, nan=-1.0)).max(axis=1).min() < LEAST_STEP:
            close.append((point, values))
        else:
            yield point, values
        found += 1
        if found == LOOKED_AT:
            break
    yield from close


def _reason(
    space: ModelSpace, scores: Scores, feasibility: Feasibility | None, point: Array
) -> dict[str, Any]:
    """What the model expects of a trial there, in units of the score (smaller is better)."""
    Z = space.features(point[None, :])
    m, s = (float(v[0]) for v in scores.process.predict(Z))
    target = scores.target
    outcomes = np.array([target.relative(m + s * t) for t in _NODES])
    weights = _WEIGHTS / _WEIGHTS.sum()
    mean = float(weights @ outcomes)
    improvement = float(weights @ np.maximum(target.relative(scores.incumbent) - outcomes, 0.0))
    why = {
        "how": "exploit" if m <= scores.incumbent else "explore",
        "mean": target.middle + target.spread * mean,
        "deviation": target.spread * math.sqrt(float(weights @ (outcomes - mean) ** 2)),
        "expected_improvement": target.spread * improvement,
    }
    if feasibility is not None:
        why["feasible"] = math.exp(float(feasibility.log_probability(Z)[0]))
    return {name: value if isinstance(value, str) else _short(value) for name, value in why.items()}


def _short(value: float) -> float | None:
    """As many digits as anybody reads; None where it is no finite number."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
