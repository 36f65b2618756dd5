"""Asynchronous successive halving: short trainings, the best of which go on as soon as they are known to be good.

Source: L. Li, K. Jamieson, A. Rostamizadeh, E. Gonina, J. Ben-tzur, M. Hardt, B. Recht, A. Talwalkar, "A System for
Massively Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2.
"""

from __future__ import annotations

import math
from typing import Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles.arguments import count, optional_count
from ktcomponent.oracles.multi_fidelity import MultiFidelityOracle, has_ended
from ktcomponent.oracles.proposal import IDLE, STOPPED, Proposal
from ktcomponent.oracles.stopping import AshaRule
from ktcomponent.trial import Trial, TrialStatus

LOWEST, FAR_BELOW = 2, 3
"""Of so many trials on the lowest rung one goes on, where so many rungs are above it: after a 27th of a training its end can't be
told yet, and the best ones, if they begin slowly, would be left there."""


class AshaOracle(MultiFidelityOracle):
    """Successive halving in which nobody waits: made for lanes, and for workers that come and go.

    Rung `k` trains until epoch `ceil(max_epochs / factor^(K - k))`, where `K = floor(log_factor(max_epochs / min_epochs))`.
    Whoever asks for a trial gets the best one that is among the best `1 / factor` of those that ended on its rung, to go on
    to the next one, from the highest rung down; and a new configuration where there is none. The lowest rung gives one in two trials
    a place where three or more rungs are above it, since it tells the least. A rung gives as many places as
    that, and one more for a trial that is the best of all on it: it need not wait until others have ended. When all configurations
    have been begun, the best one of each rung goes on even where the rung has fewer than `factor` trials, so the search
    ends with a model that was fully trained.

    With `variant="stopping"` no training is interrupted: each configuration is one trial of `max_epochs`, and the rule
    `AshaRule` ends it at a rung where it isn't among the best. There is no model to be kept and
    loaded then; but an early trial goes on for want of others to compare with.

    Beside the hyperparameters of the space every trial has the values that `MultiFidelityOracle` describes, of which
    "tuner/round" is the number of its rung.

    Args:
        objective: See `Oracle`.
        max_epochs: How long one model is trained at most.
        min_epochs: How long each one is trained at least.
        factor: By how much a rung raises the epochs, and lowers the number of models (the lowest one by 2 where three or more are
            above it); at least 2.
        max_configurations: How many configurations are begun at most; None for no limit. It can be raised later. With
            "promotion" there are more trials than that, since each rung is one.
        variant: "promotion" (default) or "stopping".
        sampler: Where values of new configurations come from: "bayesian" (default), of 200 random ones the one that a model
            of all trials takes for the most promising, by turns with random ones, or "random".
        seed, hyperparameters, allow_new_entries, tune_new_entries, max_retries_per_trial,
            max_consecutive_failed_trials, stopping: See `Oracle`.
        earlier: Trials of earlier studies: see `BayesianOptimizationOracle`.

    Raises:
        ConfigurationError: If an argument can't be used.
    """

    fixed_settings = ("objective", "max_epochs", "min_epochs", "factor", "variant")
    limits = ("max_configurations", "max_consecutive_failed_trials")

    def __init__(
        self,
        objective: Any = None,
        max_epochs: int = 100,
        min_epochs: int = 1,
        factor: float = 3,
        max_configurations: int | None = 50,
        variant: str = "promotion",
        sampler: str = "bayesian",
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        stopping: Any = None,
        earlier: Any = None,
    ) -> None:
        super().__init__(
            max_epochs,
            factor,
            sampler,
            earlier,
            objective=objective,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            seed=seed,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            stopping=stopping,
        )
        self.min_epochs = count("min_epochs", min_epochs)
        if self.min_epochs > self.max_epochs:
            raise ConfigurationError(
                f"`min_epochs` must be at most `max_epochs`, which is {self.max_epochs}, got {min_epochs!r}."
            )
        if variant not in ("promotion", "stopping"):
            raise ConfigurationError(f'`variant` must be "promotion" or "stopping", got {variant!r}.')
        self.max_configurations = optional_count("max_configurations", max_configurations)
        self.variant = variant
        halvings = int(math.log(self.max_epochs / self.min_epochs, self.factor) + 1e-9)
        self._top = halvings if variant == "promotion" else 0
        if variant == "stopping":
            if stopping is not None:
                raise ConfigurationError(
                    'With `variant="stopping"` the rule is ASHA\'s own: leave `stopping` out.'
                )
            self.stopping = AshaRule(max(self.max_epochs / self.factor**halvings, 1), self.factor)

    def settings(self) -> dict[str, Any]:
        settings = super().settings()
        if self.variant == "stopping":
            del settings["stopping"]
        return {
            **settings,
            "min_epochs": self.min_epochs,
            "max_configurations": self.max_configurations,
            "variant": self.variant,
        }

    def planned_trials(self) -> int | None:
        """How many trials there are at most if none fails, each rung of a configuration being one; None without a limit."""
        sizes = self._sizes()
        return None if self.max_configurations is None else sum(size or 0 for size in sizes)

    def needed_trials(self) -> set[str]:
        """All that may still be promoted: a rank only falls while others end."""
        rungs = self._rungs()
        is_over = self._has_begun_all(rungs) and not self._unfinished()
        if is_over and not (self._promoted(rungs) or self._last_promoted(rungs)):
            return set()
        needed: set[str] = set()
        for number, size in enumerate(self._sizes()[:-1]):
            following = rungs[number + 1]
            taken = {self._continued(t) for t in following}
            most = len(rungs[number]) if size is None else self._places(number, size) + 1
            needed |= {t.trial_id for t in self._ranked(rungs[number])[:most] if t.trial_id not in taken}
            needed |= {t.trial_id for t in rungs[number] if not has_ended(t)}
            needed |= {str(self._continued(t)) for t in following if not has_ended(t)}
        return needed

    def populate_space(self, trial_id: str) -> Proposal:
        del trial_id
        rungs = self._rungs()
        promoted = self._promoted(rungs)
        if promoted is not None:
            return promoted
        fresh = None if self._has_begun_all(rungs) else self._fresh(self._place(0, 0))
        return fresh or self._last_promoted(rungs) or {"status": IDLE if self._unfinished() else STOPPED}

    # -- rungs -------------------------------------------------------------------------------------------

    def _rungs(self) -> list[list[Trial]]:
        """The trials on each rung, in the order of their creation; not those that a person asked for."""
        rungs: list[list[Trial]] = [[] for _ in range(self._top + 1)]
        for trial in self.trials.values():
            if not trial.enqueued:
                number = int(trial.hyperparameters.values.get("tuner/round", 0))
                rungs[min(number, self._top)].append(trial)
        return rungs

    def _has_begun_all(self, rungs: list[list[Trial]]) -> bool:
        return self.max_configurations is not None and len(rungs[0]) >= self.max_configurations

    def _sizes(self) -> list[int | None]:
        """How many trials each rung has at most; None for no limit."""
        sizes = [self.max_configurations]
        for number in range(self._top):
            before = sizes[-1]
            # One more for the best one, and one where a better one still came after that.
            sizes.append(None if before is None else min(self._places(number, before) + 2, before))
        return sizes

    def _promoted(self, rungs: list[list[Trial]]) -> Proposal | None:
        """The best trial that has a place on the next rung, from the highest rung down; there is one more for the best of all."""
        for number in reversed(range(len(rungs) - 1)):
            ended = [t for t in rungs[number] if has_ended(t)]
            taken = {self._continued(t) for t in rungs[number + 1]}
            places = int(len(ended) / self._one_in(number))
            best = self._ranked(ended)[: places if len(taken) < places else min(places, 1)]
            able = [t for t in best if t.trial_id not in taken]
            if able and len(taken) <= places:
                return self._further(able[0], self._place(number, number + 1))
        return None

    def _last_promoted(self, rungs: list[list[Trial]]) -> Proposal | None:
        """When no configuration is begun any more: the best one of the lowest rung where it has not gone on, even if others
        have taken all places."""
        for number in range(len(rungs) - 1):
            if not all(map(has_ended, rungs[number])):
                return None
            following = rungs[number + 1]
            taken = {self._continued(t) for t in following}
            ranked = self._ranked(rungs[number])
            able = [t for t in ranked[:1] if t.trial_id not in taken]
            if all(has_ended(t) and t.status == TrialStatus.FAILED for t in following):
                # All that went on have failed: the next best one takes their place.
                able = [t for t in ranked if t.trial_id not in taken]
            if able:
                return self._further(able[0], self._place(number, number + 1))
        return None

    def _places(self, number: int, trials: int) -> int:
        """How many of so many trials on a rung go on."""
        return max(int(trials / self._one_in(number)), 1)

    def _one_in(self, number: int) -> float:
        """Of how many trials on a rung one goes on."""
        return LOWEST if number == 0 and self._top >= FAR_BELOW else self.factor

    def _place(self, before: int, number: int) -> dict[str, Any]:
        begins = 0 if number == before else self._epochs(before)
        return {"tuner/epochs": self._epochs(number), "tuner/initial_epoch": begins, "tuner/round": number}

    def _epochs(self, rung: int) -> int:
        """Until which epoch a rung trains."""
        return math.ceil(self.max_epochs / float(self.factor) ** (self._top - rung) - 1e-9)
