"""The first trials of a search: spread over the space, before there is anything to learn from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ktcomponent.hyperparameters import Choice, Float, HyperParameter, Int, position
from ktcomponent.oracles.bayesian.model_space import ModelSpace

Array = npt.NDArray[np.float64]

SWAPS, MOST_SWAPPED = 300, 100
"""So many swaps of two positions are tried to spread a design, if it has no more points than that."""


def initial_point(space: ModelSpace, number: int, count: int, seed: int) -> Array:
    """The point of one of the first trials: an array (1, d).

    Trial 0 has the defaults that the user chose, the first value of categories, and the middle of every other domain.
    The others are Latin hypercubes, one after the other if there is need of more than `count`, whose closest points are
    far apart: M. D. Morris, T. J. Mitchell, "Exploratory designs for computational experiments", Journal of Statistical
    Planning and Inference 43 (1995). (`scipy.stats.qmc` has such designs too, but its import takes longer than all else
    that a batch adds.)

    Args:
        space: The search space as arrays.
        number: Which of them.
        count: So many are planned, trial 0 among them.
        seed: Decides the points.
    """
    defaults = np.array([[0.5 if _is_unchosen(hp) else position(hp, hp.default) for hp in space.tuned]])
    if number == 0:
        return space.legal(defaults)
    size = max(count - 1, 1)
    design, row = divmod(number - 1, size)
    points = _latin_hypercube(size, space.dimensions, np.random.default_rng((abs(seed), 7, design)))
    return space.legal(points[row : row + 1])


def _latin_hypercube(size: int, dimensions: int, rng: np.random.Generator) -> Array:
    """Points of which each has, in every dimension, a part of the range for itself: an array (size, dimensions)."""
    parts = rng.permuted(np.tile(np.arange(size), (dimensions, 1)), axis=1).T
    points = (parts + rng.random((size, dimensions))) / size
    crowding = _crowding(points)
    for _ in range(SWAPS if 2 <= size <= MOST_SWAPPED else 0):
        two, column = rng.choice(size, 2, replace=False), rng.integers(dimensions)
        swapped = points.copy()
        swapped[two, column] = points[two[::-1], column]
        if (found := _crowding(swapped)) < crowding:
            points, crowding = swapped, found
    return points


def _crowding(points: Array) -> float:
    """Large where two points are close: the sum of their distances to the power of -10."""
    squares = ((points[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    with np.errstate(divide="ignore"):
        return float((squares**-5.0).sum())


def _is_unchosen(hp: HyperParameter) -> bool:
    """Whether nobody chose the default, as far as can be told: KerasTuner's configuration of a `Float` or a `Choice` says its
    lowest or first value where there is none."""
    if isinstance(hp, (Int, Float)):
        return hp._default is None or (isinstance(hp, Float) and hp._default == hp.min_value)
    return isinstance(hp, Choice) and hp.ordered and hp.default == hp.values[0]
