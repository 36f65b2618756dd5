"""`ModelSpace`: a search space as arrays, for models that learn from trials.

Notation
    m   number of points                 d   number of columns, one for each tuned hyperparameter
    K   number of weights of the distance between two points    F   number of features

A point is a row of d positions in [0, 1] (those of `HyperParameter.value_to_prob`): NaN where the hyperparameter is
inactive, and exactly the middle of a cell where its domain is discrete. So what is judged is what would be run.

Features are what distances are taken of. A number has one, its position, and 0.5 where it is inactive. A category
with c values has c, such that two values are at distance 1. Each condition has one, 0 or 1, whether it holds: so two
points that differ in which hyperparameters are active are apart, and any kernel of distances stays positive definite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ktcomponent.hyperparameters import (
    Boolean,
    Choice,
    Fixed,
    Float,
    HyperParameter,
    HyperParameters,
    Int,
    Parent,
    encoding,
    position,
)

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Values = dict[str, Any]

INACTIVE = 0.5
MOST_CELLS = 1 << 31
MANY = 4096
"""Of a discrete domain with no more values than these a table tells which of them a condition names."""


class ModelSpace:
    """Maps between values, points and features.

    Args:
        space: The search space.
        pinned: The name of a continuous hyperparameter that is no subject of the search: every point looked at has it at 1.

    Attributes:
        pin: The column of that one, if any.
        tuned: The hyperparameters that have a column.
        is_category: For each column, whether its values have no order.
        cells: For each column, how many values it has; 0 where it is continuous.
        first_features: For each column, its first feature.
        groups: For each feature, the number of its weight.
        is_number: For each weight, whether it belongs to a number (else to a category or a condition).
    """

    def __init__(self, space: HyperParameters, pinned: str | None = None) -> None:
        self._space = list(space.space)
        self.tuned = [hp for hp in self._space if not isinstance(hp, Fixed)]
        self._column = {id(hp): j for j, hp in enumerate(self.tuned)}
        self.pin = next((j for j, hp in enumerate(self.tuned) if hp.name == pinned), None)
        self.is_category = np.array([_is_category(hp) for hp in self.tuned], bool)
        self.cells = np.array([_cells(hp) for hp in self.tuned], int)
        self._conditions = list(dict.fromkeys(c for hp in self._space for c in hp.conditions))
        self._tables: dict[tuple[int, Any], Mask] = {}
        names = [hp.name for hp in self._space]
        self._is_plain = not self._conditions and len(set(names)) == len(names)
        widths = [_width(hp) for hp in self.tuned] + [1] * len(self._conditions)
        self.first_features = np.cumsum([0, *widths])[: len(self.tuned)]
        self.groups = np.repeat(np.arange(len(widths)), widths)
        self.is_number = np.array([*~self.is_category, *[False] * len(self._conditions)], bool)

    @property
    def dimensions(self) -> int:
        return len(self.tuned)

    @property
    def is_continuous(self) -> Mask:
        """For each column, whether the search can move in it continuously."""
        found = np.asarray(self.cells == 0)
        if self.pin is not None:
            found[self.pin] = False
        return found

    # -- values and points -------------------------------------------------------------------------------

    def encode(self, trials: Sequence[Mapping[str, Any]]) -> Array:
        """The points of several trials' values: an array (m, d)."""
        points = np.full((len(trials), self.dimensions), np.nan)
        for row, values in zip(points, trials, strict=True):
            taken: set[str] = set()
            for hp in self._space:
                if hp.name in taken or hp.name not in values or not hp.is_active(values):
                    continue
                taken.add(hp.name)
                j = self._column.get(id(hp))
                if j is not None and (not self.is_category[j] or values[hp.name] in list(hp.values)):
                    row[j] = position(hp, values[hp.name])
        return points

    def has_all_categories(self, points: Array) -> bool:
        """Whether every category that no condition governs is among the points, an array (m, d)."""
        return all(
            len(np.unique(points[~np.isnan(points[:, j]), j])) >= self.cells[j]
            for j in np.flatnonzero(self.is_category)
            if not self.tuned[j].conditions
        )

    def has_categories_of(self, values: Mapping[str, Any]) -> bool:
        """Whether all categories among the values are still there."""
        known: dict[str, list[Any]] = {}
        for hp, is_category in zip(self.tuned, self.is_category, strict=True):
            if is_category and hp.name in values:
                known.setdefault(hp.name, []).extend(hp.values)
        return all(values[name] in legal for name, legal in known.items())

    def decode(self, point: Array) -> Values:
        """The values of one point, those of active `Fixed` ones too, but nothing for what is pinned."""
        values: Values = {}
        for hp in self._space:
            j = self._column.get(id(hp))
            if hp.name not in values and hp.is_active(values) and (j is None or j != self.pin):
                at = INACTIVE if j is None or math.isnan(point[j]) else float(point[j])
                values[hp.name] = hp.prob_to_value(at)
        return values

    def legal(self, positions: Array) -> Array:
        """The points nearest to positions in [0, 1], all of them given: an array (m, d)."""
        points = np.clip(positions, 0.0, 1.0)
        discrete = self.cells > 0
        n = self.cells[discrete]
        points[:, discrete] = (np.minimum(np.floor(points[:, discrete] * n), n - 1) + 0.5) / n
        for j, hp in enumerate(self.tuned):
            if isinstance(hp, Int) and _is_uneven(hp):
                points[:, j] = _nearest_integers(hp, points[:, j])
        if not self._is_plain:
            points[~self._activity(points)[0]] = np.nan
        return self.pinned(points)

    def pinned(self, points: Array) -> Array:
        """The same points with what is pinned at 1."""
        if self.pin is not None:
            points = points.copy()
            points[:, self.pin] = 1.0
        return points

    def mutants(self, centres: Array, each: int, step: float, rng: np.random.Generator) -> Array:
        """Points near others.

        Args:
            centres: An array (m, d).
            each: How many of each.
            step: Standard deviation of a number's step; a discrete one goes to another value at least.
            rng: Decides which coordinates move, about one or two of them, and how.

        Returns:
            An array (m * each, d).
        """
        base = np.repeat(centres, each, axis=0)
        inactive = np.isnan(base)
        drawn = rng.random(base.shape)
        chance = 1.5 / np.maximum((~inactive).sum(axis=1, keepdims=True), 1)
        lots = rng.random(base.shape) / chance
        lots[inactive] = np.inf
        if self.pin is not None:
            lots[:, self.pin] = np.inf
        moves = (lots < 1.0) | (lots == lots.min(axis=1, keepdims=True))
        delta = step * rng.standard_normal(base.shape)
        n = np.maximum(self.cells, 1)
        least = np.where(self.cells > 0, 1.0 / n, 0.0)
        delta = np.copysign(np.maximum(np.abs(delta), least), delta)
        near = base + delta
        near = np.where((near < 0.0) | (near > 1.0), base - delta, near)
        # Another category than the one it is, each as likely.
        hop = np.floor(drawn * np.maximum(n - 1, 1)) + 1.0
        other = np.mod(base + hop / n, 1.0)
        moved = np.where(self.is_category, other, np.clip(near, 0.0, 1.0))
        return self.legal(np.where(inactive, drawn, np.where(moves, moved, base)))

    # -- features ----------------------------------------------------------------------------------------

    def features(self, points: Array) -> Array:
        """What distances are taken of: an array (m, F)."""
        columns: list[Array] = []
        for j, hp in enumerate(self.tuned):
            at = points[:, j]
            width = _width(hp)
            if not self.is_category[j]:
                columns.append(np.where(np.isnan(at), INACTIVE, at)[:, None])
            elif width == 1:
                columns.append(np.where(np.isnan(at), INACTIVE, (at > 0.5).astype(float))[:, None])
            else:
                corner = np.zeros((len(at), width))
                active = ~np.isnan(at)
                corner[active, (at[active] * width).astype(int)] = math.sqrt(0.5)
                columns.append(corner)
        if self._conditions:
            _, by_id = self._activity(np.where(np.isnan(points), INACTIVE, points))
            columns += [self._holds(c, points, by_id).astype(float)[:, None] for c in self._conditions]
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(points), 0))

    # -- activity ----------------------------------------------------------------------------------------

    def _activity(self, points: Array) -> tuple[Mask, dict[int, Mask]]:
        """For points whose positions are all given, which of them are active: an array (m, d); and the same by the id of each
        hyperparameter, of those that have no column too."""
        active = np.ones(points.shape, bool)
        by_id: dict[int, Mask] = {}
        named: dict[str, Mask] = {}
        for hp in self._space:
            mask = np.ones(len(points), bool)
            for condition in hp.conditions:
                mask &= self._holds(condition, points, by_id)
            # Of several with one name that are active at a time the first counts.
            taken = named.get(hp.name)
            if taken is not None:
                mask &= ~taken
            named[hp.name] = mask if taken is None else taken | mask
            by_id[id(hp)] = mask
            if id(hp) in self._column:
                active[:, self._column[id(hp)]] = mask
        return active, by_id

    def _holds(self, condition: Any, points: Array, by_id: Mapping[int, Mask]) -> Mask:
        """Whether a condition holds, for each point; the activity of the hyperparameters it asks for is known by their ids."""
        held = np.zeros(len(points), bool)
        for hp in self._space:
            if hp.name != condition.name or id(hp) not in by_id:
                continue
            mask = by_id[id(hp)]
            if isinstance(hp, Fixed):
                fits = np.full(len(points), hp.value in condition.values)
            else:
                fits = self._fits(hp, condition, points[:, self._column[id(hp)]])
            held |= mask & fits
        return held

    def _fits(self, hp: HyperParameter, condition: Parent, at: Array) -> Mask:
        """Whether the values at these positions are among those that the condition names."""
        n = int(self.cells[self._column[id(hp)]])
        if not 0 < n <= MANY:
            return np.array(
                [not math.isnan(u) and hp.prob_to_value(float(u)) in condition.values for u in at], bool
            )
        table = self._tables.get((id(hp), condition))
        if table is None:
            table = np.array([hp.prob_to_value((i + 0.5) / n) in condition.values for i in range(n)], bool)
            self._tables[id(hp), condition] = table
        index = (np.nan_to_num(at, nan=0.0) * n).astype(int).clip(0, n - 1)
        return np.asarray(table[index] & ~np.isnan(at))


def distinct(points: Array) -> Array:
    """The points without repetitions, in their order."""
    _, where = np.unique(np.nan_to_num(points, nan=-1.0), axis=0, return_index=True)
    return points[np.sort(where)]


def _is_category(hp: HyperParameter) -> bool:
    return isinstance(hp, Boolean) or (isinstance(hp, Choice) and (not hp.ordered or len(hp.values) == 2))


def _width(hp: HyperParameter) -> int:
    n = _cells(hp)
    return n if _is_category(hp) and n > 2 else 1


def _count(hp: HyperParameter) -> int | None:
    """How many values its domain has; None where it is continuous, or as good as that."""
    if not isinstance(hp, (Int, Float)):
        return len(list(hp.values))
    if hp.step is not None:
        n = encoding.count_steps(hp.min_value, hp.max_value, hp.step, hp.sampling)
    elif isinstance(hp, Int) or hp.min_value == hp.max_value:
        n = int(hp.max_value - hp.min_value) + 1
    else:
        return None
    return n if n <= MOST_CELLS else None


def _is_uneven(hp: HyperParameter) -> bool:
    """Whether its values have cells of their own sizes: the integers of a scale."""
    return isinstance(hp, Int) and hp.step is None and hp.min_value < hp.max_value


def _cells(hp: HyperParameter) -> int:
    """How many cells of one size its domain splits [0, 1] into; 0 where it does not."""
    return 0 if _is_uneven(hp) else _count(hp) or 0


def _nearest_integers(hp: Int, positions: Array) -> Array:
    """The positions of the integers in whose cells positions lie, on a logarithmic scale: as `hp.value_to_prob` has them."""
    low, high = float(hp.min_value), float(hp.max_value) + 1.0
    is_log, ratio = hp.sampling == "log", high / low
    reached = low * ratio ** (positions if is_log else 1.0 - positions)
    value = np.clip(np.floor(reached if is_log else high + low - reached), low, high - 1.0)
    middle = value + 0.5 if is_log else high + low - (value + 0.5)
    found = np.log(middle / low) / math.log(ratio)
    return np.asarray(found if is_log else 1.0 - found)
