"""Finding out a search space by building models: what is asked for behind conditions shows only where they hold."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ktcomponent import errors
from ktcomponent.console import say
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.tuners.hypermodel import HyperModel


def explore(
    hypermodel: HyperModel, space: HyperParameters, check: Callable[[HyperParameters, set[Any]], None]
) -> None:
    """Builds a hypermodel until every conditional scope was active once.

    Args:
        hypermodel: Whose space it is.
        space: What is known of it; what is found is added.
        check: Called after each build with what it was given, and with what earlier builds have asked for.
    """
    seen: list[Any] = []
    waiting: list[Any] = []
    hp = space.copy()
    asked: set[Any] = set()
    hypermodel.build(hp)
    while True:
        # A domain may depend on other values, so only the first time a build asks for it counts.
        check(hp, asked)
        asked |= hp.asked
        space.merge(hp, overwrite=False)
        seen += [scope for scope in hp.active_scopes if scope not in seen]
        waiting += [scope for scope in hp.inactive_scopes if scope not in waiting]
        waiting = [scope for scope in waiting if scope not in seen]
        if not waiting:
            break
        # Values that make the first scope active; given up if it stays inactive all the same.
        seen.append(copy.deepcopy(waiting[0]))
        hp = space.copy()
        for condition in waiting[0]:
            hp.values[condition.name] = condition.values[0]
        hp.ensure_active_values()
        try:
            hypermodel.build(hp)
        except errors.FatalError:
            raise
        except Exception as error:  # noqa: BLE001 - such values fail their own trial, if they are ever tried
            say(f"The search space behind {waiting[0]} was not explored: {type(error).__name__}: {error}")
