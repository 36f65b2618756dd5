"""Looking for the point where an acquisition is largest, in a space of numbers, categories and conditions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import optimize

from ktcomponent.oracles.bayesian.model_space import ModelSpace, distinct

Array = npt.NDArray[np.float64]

DRAWN, NEAR_EACH, NEAR = 512, 32, 4
"""Points drawn from the whole space; mutants of each of the best known points, and of how many."""
BEST, LUCKY = 4, 3
"""Starts: the best of those points, and some drawn by how good they are. The best known point is one too."""
ROUNDS, MUTANTS, STEP = 6, 16, 0.2
"""Each start goes to the best of its mutants so many times; their steps get shorter by half."""
POLISHED, POLISHING = 4, 15
"""At last the best of them climb along the gradient, in so many steps at most."""

Values = Callable[[Array], Array]
Gradient = Callable[[Array], tuple[Array, Array]]


def climb(
    space: ModelSpace, values: Values, gradient: Gradient, known: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Points with their values, best first; all of them legal, none twice, some perhaps tried before.

    Args:
        space: The search space as arrays.
        values: The acquisition at points, an array (m, d): m numbers.
        gradient: The same, with the gradient by positions: an array (m, d), used where a column is continuous.
        known: The best known points, best first; one at least.
        rng: Draws.
    """
    pool = np.vstack(
        [
            space.legal(rng.random((DRAWN, space.dimensions))),
            space.mutants(known[:NEAR], NEAR_EACH, STEP, rng),
        ]
    )
    pool = distinct(pool)
    scores = values(pool)
    first = np.argsort(-scores, kind="stable")[:BEST]
    spread = float(np.std(scores)) or 1.0
    gumbel = scores / spread * 2.0 + rng.gumbel(size=len(scores))
    gumbel[first] = -np.inf
    lucky = np.argsort(-gumbel, kind="stable")[:LUCKY]
    at = np.vstack([pool[first], pool[lucky], known[:1]])
    best = values(at)
    seen, seen_scores = [pool, at], [scores, best]
    for round_number in range(ROUNDS):
        mutants = space.mutants(at, MUTANTS, STEP * 0.5**round_number, rng)
        found = values(mutants)
        seen.append(mutants)
        seen_scores.append(found)
        by_start = found.reshape(len(at), MUTANTS)
        which = by_start.argmax(axis=1)
        better = by_start.max(axis=1) > best
        at = np.where(better[:, None], mutants.reshape(len(at), MUTANTS, -1)[np.arange(len(at)), which], at)
        best = np.maximum(best, by_start.max(axis=1))
    if space.is_continuous.any():
        polished = _polished(space, gradient, at[np.argsort(-best, kind="stable")[:POLISHED]])
        seen.append(polished)
        seen_scores.append(values(polished))
    points, scores = np.vstack(seen), np.concatenate(seen_scores)
    order = np.argsort(-scores, kind="stable")
    points, scores = points[order], scores[order]
    _, where = np.unique(np.nan_to_num(points, nan=-1.0), axis=0, return_index=True)
    where = np.sort(where)
    return points[where], scores[where]


def _polished(space: ModelSpace, gradient: Gradient, starts: Array) -> Array:
    """Goes uphill from all starts at once: their sum is largest where each is."""
    free = space.is_continuous[None, :] & ~np.isnan(starts)
    if not free.any():
        return starts

    def downhill(x: Array) -> tuple[float, Array]:
        points = starts.copy()
        points[free] = x
        value, slopes = gradient(points)
        return -float(value.sum()), -slopes[free]

    found = optimize.minimize(
        downhill,
        starts[free],
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * int(free.sum()),
        options={"maxiter": POLISHING},
    )
    points = starts.copy()
    points[free] = np.clip(found.x, 0.0, 1.0)
    full = np.where(np.isnan(points), 0.5, points)
    return space.legal(full)
