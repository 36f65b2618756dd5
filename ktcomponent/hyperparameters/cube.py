"""A search space as a box of numbers, for algorithms that know nothing of types. Imports numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ktcomponent.hyperparameters.container import HyperParameters
from ktcomponent.hyperparameters.types import Choice, Fixed, HyperParameter, position

Matrix = npt.NDArray[np.float64]

INACTIVE = 0.5
"""The coordinate of a number that is inactive or has no value."""


class Cube:
    """Maps values to points; a `Fixed` has no coordinate.

    A number, a Boolean and an ordered `Choice` have one coordinate in [0, 1], its position on its own scale. Another
    `Choice` has one for each of its values, such that two values are at distance 1.

    Args:
        space: The search space.

    Attributes:
        dimensions: How many coordinates there are.
        tuned: The hyperparameters that have coordinates.
    """

    def __init__(self, space: HyperParameters) -> None:
        self.tuned = [hp for hp in space.space if not isinstance(hp, Fixed)]
        self.dimensions = sum(_width(hp) for hp in self.tuned)

    def encode(self, trials: Sequence[Mapping[str, Any]]) -> Matrix:
        """The points of several trials' values: one row each, of `dimensions` coordinates."""
        points = np.full((len(trials), self.dimensions), INACTIVE)
        for row, values in zip(points, trials, strict=True):
            column = 0
            for hp in self.tuned:
                width = _width(hp)
                row[column : column + width] = _coordinates(hp, values, width)
                column += width
        return points


def _width(hp: HyperParameter) -> int:
    return 1 if not isinstance(hp, Choice) or hp.ordered or len(hp.values) <= 2 else len(hp.values)


def _coordinates(hp: HyperParameter, values: Mapping[str, Any], width: int) -> Any:
    known = hp.name in values and all(condition.is_active(values) for condition in hp.conditions)
    if width == 1:
        return position(hp, values[hp.name]) if known else INACTIVE
    corner = np.full(width, 0.0)
    if known and isinstance(hp, Choice) and values[hp.name] in hp.values:
        corner[hp.values.index(values[hp.name])] = math.sqrt(0.5)
    return corner
