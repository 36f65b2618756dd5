"""Counting through the combinations of a search space, conditions included.

A combination is the values of all active hyperparameters. The last hyperparameter turns fastest; a parent comes
before its children, so turning it renews them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ktcomponent.hyperparameters import HyperParameter, HyperParameters

Values = dict[str, Any]


class Odometer:
    """The combinations of a space, in order.

    Args:
        space: The search space.
        axis: Gives the values that a hyperparameter takes, in order.
    """

    def __init__(self, space: HyperParameters, axis: Callable[[HyperParameter], Sequence[Any]]) -> None:
        self._hyperparameters = list(space.space)
        self._make_axis = axis
        self._axes: dict[int, Sequence[Any]] = {}

    def _axis(self, hp: HyperParameter) -> Sequence[Any]:
        if id(hp) not in self._axes:
            self._axes[id(hp)] = self._make_axis(hp)
        return self._axes[id(hp)]

    def first(self) -> Values:
        """The combination of all first values."""
        return self._completed({}, 0)

    def at(self, choose: Callable[[HyperParameter, int], int]) -> Values:
        """The combination for which `choose(hyperparameter, number of values)` gives each index."""
        return self._completed({}, 0, choose)

    def after(self, values: Mapping[str, Any]) -> Values | None:
        """The combination that follows, or None after the last one.

        A value that its axis doesn't have, and one that is missing, count as the first.
        """
        path: list[tuple[int, HyperParameter, int]] = []
        so_far: Values = {}
        for position, hp in enumerate(self._hyperparameters):
            if hp.name in so_far or not hp.is_active(so_far):
                continue
            axis = self._axis(hp)
            value = values.get(hp.name, axis[0])
            path.append((position, hp, axis.index(value) if value in axis else 0))
            so_far[hp.name] = value
        for position, hp, index in reversed(path):
            axis = self._axis(hp)
            del so_far[hp.name]
            if index + 1 < len(axis):
                return self._completed({**so_far, hp.name: axis[index + 1]}, position + 1)
        return None

    def size(self, limit: int = 5_000) -> int | None:
        """How many combinations there are; None where counting them takes more than `limit` steps."""
        names = {getattr(c, "name", None) for hp in self._hyperparameters for c in hp.conditions}
        steps = 0

        def count(position: int, so_far: Values) -> int:
            nonlocal steps
            steps += 1
            if steps > limit:
                raise OverflowError
            product = 1
            for here in range(position, len(self._hyperparameters)):
                hp = self._hyperparameters[here]
                if hp.name in so_far or not hp.is_active(so_far):
                    continue
                axis = self._axis(hp)
                if hp.name in names:
                    return product * sum(count(here + 1, {**so_far, hp.name: value}) for value in axis)
                so_far = {**so_far, hp.name: axis[0]}
                product *= len(axis)
            return product

        try:
            return count(0, {})
        except OverflowError:
            return None

    def _completed(
        self, so_far: Values, position: int, choose: Callable[[HyperParameter, int], int] = lambda *_: 0
    ) -> Values:
        values = dict(so_far)
        for hp in self._hyperparameters[position:]:
            if hp.name not in values and hp.is_active(values):
                axis = self._axis(hp)
                values[hp.name] = axis[choose(hp, len(axis))]
        return values
