"""Random search."""

from __future__ import annotations

from typing import Any

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.proposal import RUNNING, STOPPED, Proposal


class RandomSearchOracle(Oracle):
    """Draws every trial's values at random, each hyperparameter uniformly on its own scale.

    Args:
        objective: See `Oracle`.
        max_trials: How many trials at most; 10 by default.
        seed: See `Oracle`.
        hyperparameters: See `Oracle`.
        allow_new_entries: See `Oracle`.
        tune_new_entries: See `Oracle`.
        max_retries_per_trial: See `Oracle`.
        max_consecutive_failed_trials: See `Oracle`.
        stopping: See `Oracle`.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = 10,
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
        values = self._random_values()
        if values is None:
            return {"status": STOPPED, "values": None}
        return {"status": RUNNING, "values": values, "why": {"how": "random"}}
