"""Search spaces as every system can be told them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One hyperparameter.

    Attributes:
        name: Its name.
        low, high: Bounds of a number.
        whole: Whether it is an integer.
        log: Whether its scale is logarithmic.
        step: Where its values are a grid, how far apart they are; on a logarithmic scale, by what factor.
        choices: The values of a category; then there are no bounds.
        parent: It is active while the category named first has one of these values.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    whole: bool = False
    log: bool = False
    step: float | None = None
    choices: tuple[str, ...] = ()
    parent: tuple[str, tuple[str, ...]] | None = None

    def is_active(self, values: Mapping[str, Any]) -> bool:
        return self.parent is None or values.get(self.parent[0]) in self.parent[1]


def real(
    name: str, low: float, high: float, log: bool = False, step: float | None = None, parent: Any = None
) -> Dimension:
    return Dimension(name, low, high, log=log, step=step, parent=parent)


def whole(
    name: str, low: int, high: int, log: bool = False, step: int | None = None, parent: Any = None
) -> Dimension:
    return Dimension(name, low, high, whole=True, log=log, step=step, parent=parent)


def category(name: str, *choices: str, parent: Any = None) -> Dimension:
    return Dimension(name, choices=choices, parent=parent)


def declare(space: Sequence[Dimension], hp: Any) -> None:
    """Declares it to our `HyperParameters`, or to KerasTuner's."""
    for dimension in space:
        if dimension.parent is None:
            _declare_one(dimension, hp)
        else:
            with hp.conditional_scope(dimension.parent[0], list(dimension.parent[1])):
                _declare_one(dimension, hp)


def _declare_one(dimension: Dimension, hp: Any) -> None:
    sampling = "log" if dimension.log else "linear"
    if dimension.choices:
        hp.Choice(dimension.name, list(dimension.choices))
    elif dimension.whole:
        step = dimension.step if dimension.step is None else int(dimension.step)
        more = {} if step is None else {"step": step}
        hp.Int(dimension.name, int(dimension.low), int(dimension.high), sampling=sampling, **more)
    else:
        hp.Float(dimension.name, dimension.low, dimension.high, step=dimension.step, sampling=sampling)
