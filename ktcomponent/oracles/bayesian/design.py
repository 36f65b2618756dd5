"""The first trials of a search: spread over the space, before there is anything to learn from."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ktcomponent.hyperparameters import Choice, Float, HyperParameter, Int, position
from ktcomponent.oracles.bayesian.model_space import ModelSpace
from ktcomponent.oracles.random_numbers import entropy

Array = npt.NDArray[np.float64]

MOST_SPREAD = 16
"""So many first points keep their distance: those of two batches of eight."""
SWAPS, MOST_SWAPPED = 300, 100
"""So many swaps of two positions are tried to spread a design, if it has no more points than that."""


def initial_point(space: ModelSpace, number: int, count: int, seed: int) -> Array:
    """The point of one of the first trials: an array (1, d).

    Trial 0 has the defaults that the user chose, the first value of categories, and the middle of every other domain.
    The others are Latin hypercubes, one after the other if there is need of more than `count`; the closest points of the
    first of them are far apart: M. D. Morris, T. J. Mitchell, "Exploratory designs for computational experiments", Journal
    of Statistical Planning and Inference 43 (1995). (`scipy.stats.qmc` has such designs too, but its import takes longer
    than all else that a batch adds.)

    Args:
        space: The search space as arrays.
        number: Which of them.
        count: So many are planned, trial 0 among them.
        seed: Decides the points.
    """
    if number == 0:
        return space.legal(
            np.array([[0.5 if _is_unchosen(hp) else position(hp, hp.default) for hp in space.tuned]])
        )
    design, row = divmod(number - 1, max(count - 1, 1))
    return space.legal(_design(max(count - 1, 1), space.dimensions, entropy(seed), design)[row : row + 1])


@functools.lru_cache(maxsize=4)
def _design(size: int, dimensions: int, seed: int, number: int) -> Array:
    """Points of which each has, in every dimension, a part of the range for itself: an array (size, dimensions)."""
    rng = np.random.default_rng((seed, 7, number))
    parts = rng.permuted(np.tile(np.arange(size), (dimensions, 1)), axis=1).T
    points = (parts + rng.random((size, dimensions))) / size
    # Points that keep their distance leave the corners empty, so only the first ones do.
    if number * size >= MOST_SPREAD or not 2 <= size <= MOST_SWAPPED:
        return points
    crowding = _crowding(points)
    for _ in range(SWAPS):
        two, column = rng.choice(size, 2, replace=False), rng.integers(dimensions)
        swapped = points.copy()
        swapped[two, column] = points[two[::-1], column]
        if (found := _crowding(swapped)) < crowding:
            points, crowding = swapped, found
    return points


def _crowding(points: Array) -> float:
    """Large where two points are close: the sum of their distances to the power of -10."""
    lengths = (points**2).sum(axis=1)
    squares = np.maximum(lengths[:, None] + lengths[None, :] - 2.0 * points @ points.T, 1e-12)
    np.fill_diagonal(squares, np.inf)
    return float((squares**-5.0).sum())


def _is_unchosen(hp: HyperParameter) -> bool:
    """Whether nobody chose the default, as far as can be told: KerasTuner's configuration of a `Float` or a `Choice` says its
    lowest or first value where there is none."""
    if isinstance(hp, (Int, Float)):
        return hp._default is None or (isinstance(hp, Float) and hp._default == hp.min_value)
    return isinstance(hp, Choice) and hp.ordered and len(hp.values) > 2 and hp.default == hp.values[0]
