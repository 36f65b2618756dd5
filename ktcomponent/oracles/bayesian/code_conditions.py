"""Conditions that stand in a program's code and not in the search space.

    for i in range(hp.Int("layers", 1, 4)):
        hp.Int(f"units_{i}", 16, 128)

declares `units_3` once some trial has four layers, and from then on every trial has a value of it, asked for or not. A model
that takes such values for real sees differences where there are none, and proposes what is the same as an earlier
trial. Which hyperparameters a completed trial asked for is known, so the conditions can be found out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ktcomponent.hyperparameters import (
    Choice,
    Fixed,
    Float,
    HyperParameter,
    HyperParameters,
    Int,
    Parent,
    types,
)
from ktcomponent.trial import Trial

MOST_VALUES = 256
"""A hyperparameter with more values than these is not thought to be a parent."""
MOST_TRIALS = 300
"""So many trials, the latest ones, are looked at."""
LEAST_EVIDENCE = 2
"""So many trials at least must agree with a condition beyond those that it was made of."""


def with_code_conditions(space: HyperParameters, completed: Sequence[Trial]) -> HyperParameters:
    """The search space, with the conditions under which trials asked for hyperparameters.

    A hyperparameter gets a condition if some trials left it unused and if one that is declared before it explains all of
    them: a number by a limit, a category by its values. Values of the parent that no trial has shown count as active. Where
    several explain it, the one with which most trials agree is taken, then the one that is declared first.

    Args:
        space: As declared.
        completed: The completed trials, in the order of their end.
    """
    completed = completed[-MOST_TRIALS:]
    unused = {name for trial in completed for name in trial.unused}
    if not unused:
        return space
    names = Counter(hp.name for hp in space.space)
    parents: list[HyperParameter] = []
    found = HyperParameters()
    for hp in space.space:
        declared = types.deserialize(types.serialize(hp))
        if hp.name in unused and names[hp.name] == 1:
            explained = [_explained(parent, hp.name, completed) for parent in parents]
            evidence, condition = max(
                (e for e in explained if e is not None), key=lambda e: e[0], default=(0, None)
            )
            if condition is not None and evidence >= LEAST_EVIDENCE:
                declared.conditions = [*declared.conditions, condition]
        found._add(declared)
        if names[hp.name] == 1 and not isinstance(hp, Fixed) and _has_few_values(hp):
            parents.append(hp)
    return found


def _explained(parent: HyperParameter, name: str, trials: Sequence[Trial]) -> tuple[int, Parent] | None:
    """How many trials agree with the parent deciding whether `name` is used, and the condition; None if one doesn't."""
    seen: dict[Any, bool] = {}
    count = 0
    for trial in trials:
        values = trial.hyperparameters.values
        if name not in values:
            continue
        is_used = name not in trial.unused
        if parent.name not in values or parent.name in trial.unused:
            if is_used:
                return None
            continue
        count += 1
        if seen.setdefault(values[parent.name], is_used) != is_used:
            return None
    without = [value for value, is_used in seen.items() if not is_used]
    used = [value for value, is_used in seen.items() if is_used]
    if not without or not used:
        return None
    legal = list(parent.legal_values or ())
    if not _is_ordered(parent):
        evidence, active = count - len(seen), [v for v in legal if v not in without]
    elif max(without) < min(used):
        evidence, active = count - 2, [v for v in legal if v > max(without)]
    elif min(without) > max(used):
        evidence, active = count - 2, [v for v in legal if v < min(without)]
    else:
        return None
    # There are none where the parent's domain was another one when the trials ran.
    return (evidence, Parent(parent.name, active)) if active else None


def _is_ordered(hp: HyperParameter) -> bool:
    return isinstance(hp, (Int, Float)) or (isinstance(hp, Choice) and bool(hp.ordered))


def _has_few_values(hp: HyperParameter) -> bool:
    legal = hp.legal_values
    return legal is not None and 1 < len(legal) <= MOST_VALUES
