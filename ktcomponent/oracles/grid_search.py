"""Grid search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ktcomponent.hyperparameters import HyperParameter, HyperParameters, Int
from ktcomponent.oracles.drawing import told_apart
from ktcomponent.oracles.odometer import Odometer
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.proposal import IDLE, RUNNING, STOPPED, Proposal


class GridSearchOracle(Oracle):
    """Tries all combinations, default values first, the last hyperparameter turning fastest.

    A continuous `Float`, and an `Int` on a logarithmic scale without a step, take ten values spread evenly over
    their scale, and their default. Hyperparameters that a trial discovers begin with their default; what that leaves out is tried
    before the search ends.

    Args:
        objective: See `Oracle`.
        max_trials: How many trials at most; by default the whole grid.
        seed: Not used; for programs that switch oracles.
        hyperparameters, allow_new_entries, tune_new_entries, max_retries_per_trial,
            max_consecutive_failed_trials, stopping: See `Oracle`.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        stopping: Any = None,
    ) -> None:
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            stopping=stopping,
        )

    def populate_space(self, trial_id: str) -> Proposal:
        del trial_id
        grid = Odometer(self.hyperparameters, axis)
        # Trials that a person asked for are no steps of the walk; it passes over those that lie on its way.
        walked = [trial for trial in self.trials.values() if not trial.enqueued]
        asked = {self._id_to_hash[t.trial_id] for t in self.trials.values() if t.enqueued}

        def passing(values: dict[str, Any] | None) -> dict[str, Any] | None:
            while values is not None and self._compute_values_hash(self._tuned(values)) in asked:
                values = grid.after(values)
            return values

        if not walked or self._nothing_declared():
            values = passing(grid.first())
            if values is not None:
                return {"status": RUNNING, "values": values, "why": {"how": "grid"}}
        # The newest trial first: while nothing new is discovered, what follows it is the next one.
        for trial in reversed(walked):
            values = passing(grid.after(trial.hyperparameters.values))
            if values is not None and not self._duplicate(values):
                return {"status": RUNNING, "values": values, "why": {"how": "grid"}}
        return {"status": IDLE if self._unfinished() else STOPPED}

    def planned_trials(self) -> int | None:
        """The size of the grid as far as it is known, or `max_trials` if that is less."""
        if not self.hyperparameters.space:
            return self.max_trials
        size = Odometer(self.hyperparameters, axis).size()
        limits = [limit for limit in (size, self.max_trials) if limit is not None]
        return min(limits, default=None)


def axis(hp: HyperParameter) -> Sequence[Any]:
    """The values of a grid, the default first."""
    legal = hp.legal_values
    on_a_scale = isinstance(hp, Int) and hp.step is None
    if legal is None or on_a_scale or isinstance(legal, list):
        legal = _apart(hp.default, hp.values if legal is None or on_a_scale else legal)
    return _DefaultFirst(hp.default, legal)


def _apart(default: Any, values: Iterable[Any]) -> list[Any]:
    """Of values that are told apart by their rounding alone the first one, or the default."""
    kept: dict[Any, Any] = {}
    for value in values:
        kept.setdefault(told_apart(value), value)
    if (key := told_apart(default)) in kept:
        kept[key] = default
    return list(kept.values())


class _DefaultFirst(Sequence[Any]):
    """Values in order but for one that comes first; nothing is listed, since there may be a great many."""

    def __init__(self, default: Any, values: Sequence[Any]) -> None:
        self._default = default
        self._values = values
        # Where the default is left out of its place; past the end where it has none.
        self._gap = values.index(default) if default in values else len(values)

    def __len__(self) -> int:
        return len(self._values) + (self._gap == len(self._values))

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._default if index == 0 else self._values[index - 1 + (index - 1 >= self._gap)]

    def index(self, value: Any, *_: Any) -> int:
        if value == self._default:
            return 0
        place = self._values.index(value)
        if place == self._gap:
            return 0  # the default, written in another way
        return place + (place < self._gap)

    def __contains__(self, value: object) -> bool:
        return value == self._default or value in self._values
