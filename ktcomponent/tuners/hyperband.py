"""`Hyperband`: a tuner with its oracle."""

from __future__ import annotations

import copy
from typing import Any

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import HyperbandOracle
from ktcomponent.trial import Trial
from ktcomponent.tuners.tuner import Tuner, refuse_oracle

EARLIER_TRIAL = "tuner/trial_id"


class Hyperband(Tuner):
    """Hyperband over Keras models: a trial that goes on begins with the model of the earlier one.

    Args:
        hypermodel: See `Tuner`.
        objective, max_epochs, factor, hyperband_iterations, seed, hyperparameters, tune_new_entries,
            allow_new_entries, max_retries_per_trial, max_consecutive_failed_trials: See `HyperbandOracle`.
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
        )
        super().__init__(oracle, hypermodel, **kwargs)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Trains from "tuner/initial_epoch" to "tuner/epochs"; the `epochs` given to `search` don't count."""
        return super().run_trial(trial, *args, **{**kwargs, **epochs_of(trial.hyperparameters)})

    def _build_hypermodel(self, hp: HyperParameters) -> Any:
        model = super()._build_hypermodel(hp)
        earlier = hp.values.get(EARLIER_TRIAL)
        if earlier is not None:
            self._load_weights(model, self.oracle.get_trial(earlier))
            self._forget_files(earlier)
        return model

    def load_model(self, trial: Trial) -> Any:
        # The trial's own weights, so those with which it began aren't needed.
        alone = copy.copy(trial)
        alone.hyperparameters = trial.hyperparameters.copy()
        alone.hyperparameters.values.pop(EARLIER_TRIAL, None)
        return super().load_model(alone)


def epochs_of(hp: HyperParameters) -> dict[str, int]:
    """The arguments of `fit` that make a trial train as long as its round says; none for other oracles."""
    if "tuner/epochs" not in hp.values:
        return {}
    return {"epochs": hp.values["tuner/epochs"], "initial_epoch": hp.values["tuner/initial_epoch"]}
