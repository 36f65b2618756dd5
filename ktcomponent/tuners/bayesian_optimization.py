"""`BayesianOptimization`: a tuner with its oracle."""

from __future__ import annotations

from typing import Any

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import BayesianOptimizationOracle
from ktcomponent.tuners.tuner import Tuner, refuse_oracle


class BayesianOptimization(Tuner):
    """Bayesian optimization of Keras models.

    Args:
        hypermodel: See `Tuner`.
        objective, max_trials, num_initial_points, alpha, beta, seed, hyperparameters, tune_new_entries,
            allow_new_entries, max_retries_per_trial, max_consecutive_failed_trials, acquisition, stopping, earlier: See
            `BayesianOptimizationOracle`.
        kwargs: See `Tuner`.
    """

    def __init__(
        self,
        hypermodel: Any = None,
        objective: Any = None,
        max_trials: int | None = 10,
        num_initial_points: int | None = None,
        alpha: float = 1e-4,
        beta: float = 2.6,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        tune_new_entries: bool = True,
        allow_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        acquisition: str = "log_ei",
        stopping: Any = None,
        earlier: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse_oracle(type(self), kwargs)
        self.seed = seed
        oracle = BayesianOptimizationOracle(
            objective=objective,
            max_trials=max_trials,
            num_initial_points=num_initial_points,
            alpha=alpha,
            beta=beta,
            seed=seed,
            hyperparameters=hyperparameters,
            tune_new_entries=tune_new_entries,
            allow_new_entries=allow_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            acquisition=acquisition,
            stopping=stopping,
            earlier=earlier,
        )
        super().__init__(oracle, hypermodel, **kwargs)
