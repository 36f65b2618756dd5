"""Bayesian optimization: a Gaussian process of the scores tells where to look next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import Boolean, Fixed, HyperParameters, position
from ktcomponent.oracles.oracle import RUNNING, STOPPED, Oracle, Proposal, optional_count
from ktcomponent.oracles.random_numbers import uniform
from ktcomponent.trial import Trial, TrialStatus

if TYPE_CHECKING:
    from ktcomponent.hyperparameters.cube import Cube
    from ktcomponent.oracles.gaussian_process import GaussianProcess

Values = dict[str, Any]

SPREAD = 1000
"""Candidates drawn from the whole space."""
NEAR = ((0.2, 60), (0.05, 60), (0.0125, 60))
"""Then, around the best five so far: (largest step in the unit interval, how many)."""
MOST_TRIALS = 200
"""The process is fitted to so many trials at most: the better half of them the best, the other the newest."""


SPARE, LOOKED_AT, APART = 4, 400, 0.1
"""Up to so many spare proposals are taken from the best ones, each so far from better ones in some coordinate."""


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
        for name, number in (("alpha", alpha), ("beta", beta)):
            if isinstance(number, bool) or not isinstance(number, (int, float)) or number < 0:
                raise ConfigurationError(f"`{name}` must be a number of at least 0, got {number!r}.")
        self.num_initial_points = optional_count("num_initial_points", num_initial_points)
        self.alpha = alpha
        self.beta = beta
        self._values_matter = True
        self._fitted: tuple[Any, GaussianProcess] | None = None

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
        if (
            not self._values_matter
            or tuned == 0
            or completed < (self.num_initial_points or max(3 * len(self.hyperparameters.space), 3))
        ):
            return self._random_populate_space()
        candidates = self._best_candidates()
        if not candidates:
            return self._random_populate_space()
        return {"status": RUNNING, "values": candidates[0], "spare": candidates[1:]}

    def next_status(self) -> str:
        self._values_matter = False
        try:
            return super().next_status()
        finally:
            self._values_matter = True

    def _random_populate_space(self) -> Proposal:
        values = self._random_values()
        return {"status": STOPPED if values is None else RUNNING, "values": values}

    def _best_candidates(self) -> list[Values]:
        """The untried values with the lowest confidence bound among those looked at, and a few others that are not
        close to better ones; none if all were tried."""
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
        ranked = [candidates[h] for h in sorted(bounds, key=lambda h: (bounds[h], h))[:LOOKED_AT]]
        return _apart(ranked, cube.encode(ranked)) if ranked else []

    def _fit(self, cube: Cube) -> GaussianProcess:
        """The process of all ended trials, with the running ones turning out as expected."""
        import numpy as np

        from ktcomponent.oracles.gaussian_process import GaussianProcess

        sign = -1.0 if self.objective.direction == "max" else 1.0
        completed = [t for t in self.trials.values() if t.status == TrialStatus.COMPLETED]
        scores = _clipped(np.array([sign * (t.score or 0.0) for t in completed]))
        known = list(zip(completed, scores.tolist(), strict=True))
        # A trial that failed is as bad as the worst that did not, so its neighbourhood is avoided.
        failed = [t for t in self.trials.values() if t.status == TrialStatus.FAILED]
        known += [(t, float(scores.max())) for t in failed]
        known.sort(key=lambda pair: pair[0].number or 0)
        if len(known) > MOST_TRIALS:
            ranked = sorted(known, key=lambda pair: (pair[1], pair[0].number or 0))
            kept = {t.trial_id for t, _ in [*ranked[: MOST_TRIALS // 2], *known[-MOST_TRIALS // 2 :]]}
            known = [pair for pair in known if pair[0].trial_id in kept]
        # Between two proposals nothing may have ended, and after a lost race the same is asked again.
        key = ([(t.trial_id, y) for t, y in known], [hp.domain() for hp in cube.tuned], self.alpha)
        if self._fitted is None or self._fitted[0] != key:
            X = cube.encode([t.hyperparameters.values for t, _ in known])
            self._fitted = key, GaussianProcess(X, np.array([y for _, y in known]), self.alpha)
        process = self._fitted[1]
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
                category = isinstance(hp, Boolean) or not getattr(hp, "ordered", True)
                if v < 0.5 or (category and v < 0.8):
                    values[hp.name] = centre[hp.name]
                    continue
                if not category:
                    # Far enough to leave the cell of a discrete value.
                    legal = hp.legal_values
                    reach = step if legal is None else max(step, 1.5 / len(legal))
                    u = min(max(position(hp, centre[hp.name]) + reach * (2.0 * u - 1.0), 0.0), 1.0)
            values[hp.name] = hp.prob_to_value(u)
        self._candidate += 1
        return values


def _apart(ranked: list[Values], X: Any) -> list[Values]:
    """The first values, and the next ones that are apart from those chosen already.

    Args:
        ranked: Candidates, the best first.
        X: Their places in the unit cube, one row each.
    """
    chosen = [0]
    for i in range(1, len(ranked)):
        if len(chosen) > SPARE:
            break
        if abs(X[chosen] - X[i]).max(axis=1).min() >= APART:
            chosen.append(i)
    return [ranked[i] for i in chosen]


def _clipped(scores: Any) -> Any:
    """Scores (smaller is better) of which none is much worse than the better half, so that one that diverged
    does not hide the differences between the others."""
    import numpy as np

    middle = np.median(scores)
    spread = middle - scores.min()
    if spread <= 0:
        worse = scores[scores > middle] - middle
        spread = worse.min() if worse.size else 1.0
    return np.minimum(scores, middle + 3.0 * spread)
