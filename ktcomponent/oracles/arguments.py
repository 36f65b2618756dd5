"""Arguments of oracles, checked."""

from __future__ import annotations

import numbers
from typing import Any

from ktcomponent.errors import ConfigurationError


def count(name: str, value: Any, least: int | None = 1) -> int:
    """An argument that counts something, as an int.

    Raises:
        ConfigurationError: If it is no whole number, or less than `least`.
    """
    whole = isinstance(value, numbers.Integral) or (
        isinstance(value, numbers.Real) and float(value).is_integer()
    )
    if isinstance(value, bool) or not whole or (least is not None and value < least):
        bound = "" if least is None else f" of at least {least}"
        raise ConfigurationError(f"`{name}` must be a whole number{bound}, got {value!r}.")
    return int(value)


def optional_count(name: str, value: Any, least: int | None = 1) -> int | None:
    """Like `count`; None stays None."""
    return None if value is None else count(name, value, least)
