"""`Asha`: a tuner with its oracle."""

from __future__ import annotations

from typing import Any

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import AshaOracle
from ktcomponent.tuners.continuing import ContinuingTuner
from ktcomponent.tuners.tuner import refuse_oracle


class Asha(ContinuingTuner):
    """Asynchronous successive halving over Keras models, made for many workers.

    Args:
        hypermodel: See `Tuner`.
        objective, max_epochs, min_epochs, factor, max_configurations, variant, sampler, seed, hyperparameters,
            tune_new_entries, allow_new_entries, max_retries_per_trial, max_consecutive_failed_trials, stopping, earlier: See
            `AshaOracle`.
        kwargs: See `Tuner`.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_epochs: int = 100,
        min_epochs: int = 1,
        factor: float = 3,
        max_configurations: int | None = 50,
        variant: str = "promotion",
        sampler: str = "bayesian",
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        stopping: Any = None,
        earlier: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse_oracle(type(self), kwargs)
        self.seed = seed
        oracle = AshaOracle(
            objective=objective,
            max_epochs=max_epochs,
            min_epochs=min_epochs,
            factor=factor,
            max_configurations=max_configurations,
            variant=variant,
            sampler=sampler,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            stopping=stopping,
            earlier=earlier,
        )
        super().__init__(oracle, hypermodel, **kwargs)
