"""`GridSearch`: a tuner with its oracle."""

from __future__ import annotations

from typing import Any

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import GridSearchOracle
from ktcomponent.tuners.tuner import Tuner, refuse_oracle


class GridSearch(Tuner):
    """All combinations of hyperparameters, for Keras models.

    Args:
        hypermodel: See `Tuner`.
        objective, max_trials, seed, hyperparameters, tune_new_entries, allow_new_entries,
            max_retries_per_trial, max_consecutive_failed_trials, stopping: See `GridSearchOracle`.
        kwargs: See `Tuner`.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        stopping: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse_oracle(type(self), kwargs)
        self.seed = seed
        oracle = GridSearchOracle(
            objective=objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            stopping=stopping,
        )
        super().__init__(oracle, hypermodel, **kwargs)
