"""Bayesian optimization: a Gaussian process of the scores tells where to look next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import Fixed, HyperParameters
from ktcomponent.oracles.oracle import RUNNING, STOPPED, Oracle, Proposal, require_count
from ktcomponent.oracles.random_numbers import uniform
from ktcomponent.trial import Trial, TrialStatus

if TYPE_CHECKING:
    import numpy as np

    from ktcomponent.hyperparameters.cube import Cube
    from ktcomponent.oracles.gaussian_process import GaussianProcess

Values = dict[str, Any]

SPREAD = 1000
"""Candidates drawn from the whole space."""
NEAR = ((0.2, 60), (0.05, 60), (0.0125, 60))
"""Then, around the best five so far: (largest step in the unit interval, how many)."""
MOST_TRIALS = 400
"""The process is fitted to so many trials at most: the better half of them the best, the other the newest."""


class BayesianOptimizationOracle(Oracle):
    """Fits a Gaussian process to the scores, and tries where its lower confidence bound is lowest.

    With `mu` and `sigma` the mean and the deviation that the process predicts (scores negated where they are to be
    maximised), a trial is proposed where `mu - beta * sigma` is smallest: N. Srinivas, A. Krause, S. M. Kakade,
    M. Seeger, "Gaussian Process Optimization in the Bandit Setting", ICML 2010. Running trials are taken to turn
    out as expected, so that trials which run side by side don't meet.

    Args:
        objective: See `Oracle`.
        max_trials: How many trials at most; 10 by default.
        num_initial_points: After so many completed trials the process is used; random ones before.
            Three times the number of hyperparameters by default, at least 3.
        alpha: The least variance of the scores' noise, relative to the variance of the scores.
        beta: How much uncertainty counts; more explores more.
        seed, hyperparameters, allow_new_entries, tune_new_entries, max_retries_per_trial,
            max_consecutive_failed_trials: See `Oracle`.

    Raises:
        ConfigurationError: If an argument can't be used.
    """

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
        )
        require_count("num_initial_points", num_initial_points, least=1, optional=True)
        for name, number in (("alpha", alpha), ("beta", beta)):
            if isinstance(number, bool) or not isinstance(number, (int, float)) or number < 0:
                raise ConfigurationError(f"`{name}` must be a number of at least 0, got {number!r}.")
        self.num_initial_points = num_initial_points
        self.alpha = alpha
        self.beta = beta

    def settings(self) -> dict[str, Any]:
        return {
            **super().settings(),
            "num_initial_points": self.num_initial_points,
            "alpha": self.alpha,
            "beta": self.beta,
        }

    def populate_space(self, trial_id: str) -> Proposal:
        del trial_id
        completed = sum(t.status == TrialStatus.COMPLETED for t in self.trials.values())
        tuned = sum(not isinstance(hp, Fixed) for hp in self.hyperparameters.space)
        if tuned == 0 or completed < (self.num_initial_points or max(3 * len(self.hyperparameters.space), 3)):
            return self._random_populate_space()
        values = self._best_candidate()
        return self._random_populate_space() if values is None else {"status": RUNNING, "values": values}

    def _random_populate_space(self) -> Proposal:
        values = self._random_values()
        return {"status": STOPPED if values is None else RUNNING, "values": values}

    def _best_candidate(self) -> Values | None:
        """The untried values with the lowest confidence bound among those looked at; None if all were tried."""
        from ktcomponent.hyperparameters.cube import Cube

        cube = Cube(self.hyperparameters)
        process = self._fit(cube)
        candidates: dict[str, Values] = {}
        bounds: dict[str, float] = {}

        def look_at(proposals: list[Values]) -> None:
            new = {self._compute_values_hash(values): values for values in proposals}
            new = {h: v for h, v in new.items() if h not in candidates and not self._duplicate(v)}
            if new:
                candidates.update(new)
                mean, deviation = process.predict(cube.encode(list(new.values())))
                bounds.update(zip(new, (mean - self.beta * deviation).tolist(), strict=True))

        look_at([self._drawn({}, 1.0) for _ in range(SPREAD)])
        look_at(
            [
                self._drawn(trial.hyperparameters.values, 0.1)
                for trial in self._best_trials()
                for _ in range(20)
            ]
        )
        for step, number in NEAR:
            centres = sorted(bounds, key=lambda h: (bounds[h], h))[:5]
            look_at(
                [self._drawn(candidates[h], step) for h in centres for _ in range(number // len(centres))]
            )
        best = min(bounds, key=lambda h: (bounds[h], h), default=None)
        return None if best is None else candidates[best]

    def _fit(self, cube: Cube) -> GaussianProcess:
        import numpy as np

        from ktcomponent.oracles.gaussian_process import GaussianProcess

        sign = -1.0 if self.objective.direction == "max" else 1.0
        trials = [
            t for t in self.trials.values() if t.status == TrialStatus.COMPLETED and t.score is not None
        ]
        if len(trials) > MOST_TRIALS:
            ranked = sorted(trials, key=lambda t: (sign * (t.score or 0.0), t.number or 0))
            kept = {id(t) for t in [*ranked[: MOST_TRIALS // 2], *trials[-MOST_TRIALS // 2 :]]}
            trials = [t for t in trials if id(t) in kept]
        y: np.typing.NDArray[np.float64] = np.array([sign * (t.score or 0.0) for t in trials])
        process = GaussianProcess(cube.encode([t.hyperparameters.values for t in trials]), y, self.alpha)
        running = [
            t.hyperparameters.values
            for t in self.trials.values()
            if t.status in (TrialStatus.RUNNING, TrialStatus.INVALID)
        ]
        return process.with_points(cube.encode(running)) if running else process

    def _best_trials(self) -> list[Trial]:
        sign = -1.0 if self.objective.direction == "max" else 1.0
        completed = [t for t in self.trials.values() if t.status == TrialStatus.COMPLETED]
        return sorted(completed, key=lambda t: (sign * (t.score or 0.0), t.number or 0))[:5]

    def _drawn(self, centre: Values, step: float) -> Values:
        """Values at most `step` (in the unit interval) away from `centre`; with step 1 from anywhere.

        Near a centre about half of the hyperparameters keep their value, and a category is drawn anew.
        """
        values: Values = {}
        for hp in self.hyperparameters.space:
            if hp.name in values or not all(condition.is_active(values) for condition in hp.conditions):
                continue
            u = uniform(self.seed, len(self.trials), self._candidate, hp.name)
            if step < 1.0 and hp.name in centre:
                v = uniform(self.seed, len(self.trials), self._candidate, hp.name, "which")
                ordered = getattr(hp, "ordered", True)
                if v < 0.5 or (not ordered and v < 0.8):
                    values[hp.name] = centre[hp.name]
                    continue
                if ordered:
                    u = min(max(hp.value_to_prob(centre[hp.name]) + step * (2.0 * u - 1.0), 0.0), 1.0)
            values[hp.name] = hp.prob_to_value(u)
        self._candidate += 1
        return values
