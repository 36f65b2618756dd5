"""`Hyperband`: a tuner with its oracle."""

from __future__ import annotations

from typing import Any

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import HyperbandOracle
from ktcomponent.tuners.continuing import ContinuingTuner
from ktcomponent.tuners.tuner import refuse_oracle


class Hyperband(ContinuingTuner):
    """Hyperband over Keras models: a trial that goes on begins with the model of the earlier one.

    Args:
        hypermodel: See `Tuner`.
        objective, max_epochs, factor, hyperband_iterations, seed, hyperparameters, tune_new_entries,
            allow_new_entries, max_retries_per_trial, max_consecutive_failed_trials, stopping, sampler, earlier: See
            `HyperbandOracle`.
        kwargs: See `Tuner`.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_epochs: int = 100,
        factor: int = 3,
        hyperband_iterations: int | None = 1,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        stopping: Any = None,
        sampler: str = "random",
        earlier: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse_oracle(type(self), kwargs)
        self.seed = seed
        oracle = HyperbandOracle(
            objective=objective,
            max_epochs=max_epochs,
            factor=factor,
            hyperband_iterations=hyperband_iterations,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            stopping=stopping,
            sampler=sampler,
            earlier=earlier,
        )
        super().__init__(oracle, hypermodel, **kwargs)
