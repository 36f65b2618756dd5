"""The settings of a study that are no oracle's: they are part of its configuration, and can be changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ktcomponent.errors import ConfigurationError

SHORTEST_LEASE_S, LONGEST_LEASE_S = 3, 86400

DEFAULTS: dict[str, Any] = {
    "lease_s": 60,
    "max_attempts": 3,
    "keep_checkpoints": "all",
    "checkpoint_every": "30s",
}
"""
- lease_s: For how many seconds a worker may show no sign of life before others take its trial.
- max_attempts: After so many lost workers a trial is FAILED.
- keep_checkpoints: Of how many of the best trials the checkpoints stay, or "all".
- checkpoint_every: After so many epochs, or seconds ("30s"), a trial that trains can be resumed; 0 switches it off.
"""


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given, those that are None left out.

    Raises:
        ConfigurationError: If one has no sense.
    """
    settings = {name: value for name, value in given.items() if value is not None}
    for name, value in settings.items():
        if name == "keep_checkpoints" and value == "all":
            continue
        if name == "checkpoint_every":
            period(value)
        elif name == "lease_s":
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not SHORTEST_LEASE_S <= value <= LONGEST_LEASE_S:
                raise ConfigurationError(
                    f"`{name}` must be a number of seconds from {SHORTEST_LEASE_S} to {LONGEST_LEASE_S}, got {value!r}."
                )
        elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
            more = ', or "all"' if name == "keep_checkpoints" else ""
            raise ConfigurationError(f"`{name}` must be a whole number of at least 1{more}, got {value!r}.")
    return settings


def period(every: Any) -> tuple[int | None, float | None]:
    """`checkpoint_every` as (epochs, seconds), of which one is None; (None, None) switches it off.

    Raises:
        ConfigurationError: If it is neither a number of epochs nor of seconds.
    """
    if not isinstance(every, bool) and every in (0, "0", "0s"):
        return None, None
    if isinstance(every, int) and not isinstance(every, bool) and every > 0:
        return every, None
    if isinstance(every, str):
        if every.isdigit():
            return int(every), None
        if re.fullmatch(r"\d+(\.\d+)?s", every):
            return None, float(every[:-1])
    raise ConfigurationError(
        f'`checkpoint_every` must be a number of epochs, or of seconds such as "30s", or 0, got {every!r}.'
    )
