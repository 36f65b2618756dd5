"""NaN and the infinities in configurations and values. JSON has no such numbers: there they are the strings "nan", "inf" and
"-inf", and a mark in the configuration tells them from strings that a program has chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MARK = "number"
TEXTS = ("nan", "inf", "-inf")


def marked(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration, with the mark where one of the values in it is such a number."""
    return {**config, MARK: True} if any(map(_has_one, config.values())) else config


def unmarked(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without the mark, its values being numbers again where it had one."""
    unmarked = {key: value for key, value in config.items() if key != MARK}
    if not config.get(MARK, False):
        return unmarked
    return {key: value if key == "name" else revived(value) for key, value in unmarked.items()}


def revived(value: Any) -> Any:
    """A value, or the values of a list, as numbers where they are strings that stand for one."""
    if isinstance(value, (list, tuple)):
        return [revived(v) for v in value]
    return float(value) if is_text(value) else value


def is_text(value: Any) -> bool:
    """Whether it is a string that may stand for such a number."""
    return isinstance(value, str) and value in TEXTS


def _has_one(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_one, value))
    return isinstance(value, float) and not math.isfinite(value)
