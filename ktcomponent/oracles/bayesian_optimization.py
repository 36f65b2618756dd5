"""Bayesian optimization: a model of all trials tells where the next one is worth most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles.arguments import optional_count
from ktcomponent.oracles.earlier import Warmed
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.proposal import RUNNING, STOPPED, Proposal

if TYPE_CHECKING:
    from ktcomponent.oracles.bayesian.fidelity import Fidelity
    from ktcomponent.oracles.bayesian.sampler import Sampler

ACQUISITIONS = ("log_ei", "ucb")


class BayesianOptimizationOracle(Warmed, Oracle):
    """Fits a Gaussian process to the scores, and tries what promises the largest improvement.

    The first trials are spread over the space: the defaults that the user chose, then a Latin hypercube. After that a
    trial is proposed where the expected improvement on the best is largest, times the probability that it doesn't
    fail. Running trials are taken to turn out a little worse than expected, so trials that run side by side don't meet. Conditional
    hyperparameters, categories, steps and logarithmic scales are modelled as what they are. Why a trial has
    its values is told by `Trial.why`. How it works, and what was measured: `docs/design/006-oracles.md`.

    Args:
        objective: See `Oracle`.
        max_trials: How many trials at most; 10 by default.
        num_initial_points: So many trials come before the model is used. Three more than there are hyperparameters by
            default, at most 10; then fewer where 5 have ended and every category was tried.
        alpha: How much of the scores' variance is noise, if only little is. The model finds out how much it is; it
            believes in a hundredth of this at least.
        beta: With `acquisition="ucb"`, how much uncertainty counts: more explores more.
        seed, hyperparameters, allow_new_entries, tune_new_entries, max_retries_per_trial,
            max_consecutive_failed_trials, stopping: See `Oracle`.
        acquisition: "log_ei", expected improvement (default), or "ucb", the confidence bound `mean - beta * deviation` of
            scores to be minimised.
        earlier: Trials of at most 5 earlier studies with the same objective, 100 of each, as
            `[{"name": ..., "trials": [{"values": {...}, "score": ...}]}]`. The best of them are tried first, and what they
            tell counts for as long as it agrees with this study's trials: see `ktcomponent.earlier_trials`.

    Raises:
        ConfigurationError: If an argument can't be used.
    """

    costly_proposals = True

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = 10,
        num_initial_points: int | None = None,
        alpha: float = 1e-4,
        beta: float = 2.6,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        acquisition: str = "log_ei",
        stopping: Any = None,
        earlier: Any = None,
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
        for name, number in (("alpha", alpha), ("beta", beta)):
            is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
            if not is_number or not 0 <= number < math.inf:
                raise ConfigurationError(f"`{name}` must be a number of at least 0, got {number!r}.")
        if acquisition not in ACQUISITIONS:
            raise ConfigurationError(f"`acquisition` must be one of {ACQUISITIONS}, got {acquisition!r}.")
        self.num_initial_points = optional_count("num_initial_points", num_initial_points)
        self.alpha = alpha
        self.beta = beta
        self.acquisition = acquisition
        self.earlier = earlier

    def settings(self) -> dict[str, Any]:
        return {
            **super().settings(),
            "num_initial_points": self.num_initial_points,
            "alpha": self.alpha,
            "beta": self.beta,
            "acquisition": self.acquisition,
            "earlier": self.earlier,
        }

    def populate_space(self, trial_id: str) -> Proposal:
        del trial_id
        proposal = None if self._peeking else self._sampler.propose(self, len(self.trials))
        if proposal is None:
            values = self._random_values()
            status = STOPPED if values is None else RUNNING
            proposal = {"status": status, "values": values, "why": {"how": "random"}}
        return proposal

    def _new_sampler(self) -> Sampler:
        from ktcomponent.oracles.bayesian.sampler import Sampler

        beta = self.beta if self.acquisition == "ucb" else None
        return Sampler(self.num_initial_points, self.alpha, beta, self._fidelity(), self.earlier or ())

    def _fidelity(self) -> Fidelity | None:
        """How far trainings went, once a stopping rule has ended one: its score doesn't tell what it would have come to."""
        from ktcomponent.oracles.bayesian.fidelity import UntilStopped

        if self.stopping is None or all(trial.stopped is None for trial in self.trials.values()):
            return None
        # How long a full training is nobody says; it is thought to end at the rung that follows the last one seen.
        longest = max(rung for trial in self.trials.values() for rung in trial.rungs)
        return UntilStopped(self.stopping.following(longest))
