"""Conditions under which a hyperparameter is active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ktcomponent.hyperparameters import nonfinite

Value = int | float | str | bool


class Condition:
    """Base of all conditions; `is_active(values)` tells whether it holds."""

    def is_active(self, values: Mapping[str, Value]) -> bool:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError


class Parent(Condition):
    """Holds while the hyperparameter `name` is active and has one of `values`.

    Args:
        name: The parent's full name.
        values: One value or several, all of one type (str, int, float or bool).

    Raises:
        TypeError: If the values are of another type.
    """

    def __init__(self, name: str, values: Value | Sequence[Value]) -> None:
        listed = list(values) if isinstance(values, (list, tuple)) else [values]
        if not listed or not isinstance(listed[0], (str, bool, int, float)):
            raise TypeError(
                "A condition can contain only `int`, `float`, `str` or `bool` values, "
                f"found: {values!r}. Pass at least one value of one of these types."
            )
        self.name = name
        self.values: list[Value] = listed  # type: ignore[assignment]

    def is_active(self, values: Mapping[str, Value]) -> bool:
        return self.name in values and values[self.name] in self.values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parent) and (other.name, other.values) == (self.name, self.values)

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.values)))

    def __repr__(self) -> str:
        return f"Parent(name={self.name!r}, values={self.values!r})"

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "values": list(self.values)}


def serialize(condition: Condition) -> dict[str, Any]:
    return {"class_name": type(condition).__name__, "config": nonfinite.marked(condition.get_config())}


def deserialize(config: Mapping[str, Any]) -> Condition:
    """Makes a condition from its configuration.

    Raises:
        ValueError: If the configuration names an unknown kind of condition.
    """
    if config["class_name"] != "Parent":
        raise ValueError(f"Unknown condition {config['class_name']!r}; expected 'Parent'.")
    return Parent(**nonfinite.unmarked(config["config"]))
