"""Hyperband: many short trainings, the best of which go on.

Source: L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh, A. Talwalkar, "Hyperband: A Novel Bandit-Based Approach
to Hyperparameter Optimization", JMLR 18 (2018); sizes of brackets as KerasTuner has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles.arguments import optional_count
from ktcomponent.oracles.multi_fidelity import MultiFidelityOracle, has_ended
from ktcomponent.oracles.proposal import IDLE, STOPPED, Proposal
from ktcomponent.trial import Trial


@dataclass
class Bracket:
    """One run of successive halving.

    Attributes:
        number: How often it halves; 0 is plain random search.
        rounds: The trials of each round, in order of their creation.
    """

    number: int
    rounds: list[list[Trial]] = field(default_factory=list)


class HyperbandOracle(MultiFidelityOracle):
    """Runs brackets of successive halving: each round trains the best of the round before for longer.

    Bracket `b` of `s = floor(log_factor(max_epochs))` to 0 starts `ceil(n / (b + 1) * factor^b)` trials with
    `ceil(max_epochs / factor^b)` epochs, where `n = ceil(1 + log_factor(max_epochs))`, and keeps about one in
    `factor` for a round with `factor` times as many epochs. A failed trial ranks last in its round.

    Beside the hyperparameters of the space every trial has the values that `MultiFidelityOracle` describes.
    Which bracket a trial belongs to follows from the trials' order and these values, so no further state is kept.

    Args:
        objective: See `Oracle`.
        max_epochs: How long one model is trained at most.
        factor: By how much a round reduces the number of trials and raises their epochs; at least 2.
        hyperband_iterations: How often all brackets are run; None for no limit. It can be raised later.
        sampler: Where values of new configurations come from: "random" (default), or "bayesian": a model of all trials, that
            learns from short trainings what long ones are worth, chooses the most promising of 200 random ones, by turns
            with random ones. It is as in S. Falkner, A. Klein, F. Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML
            2018, but one model over all epochs.
        seed, hyperparameters, allow_new_entries, tune_new_entries, max_retries_per_trial,
            max_consecutive_failed_trials, stopping: See `Oracle`. A stopping rule compares trainings of all brackets, so it
            ends most of those of later ones before they can go on: Hyperband halves well enough by itself.
        earlier: With `sampler="bayesian"`, trials of earlier studies: see `BayesianOptimizationOracle`.

    Raises:
        ConfigurationError: If an argument can't be used.
    """

    fixed_settings = ("objective", "max_epochs", "factor")
    limits = ("hyperband_iterations", "max_consecutive_failed_trials")

    def __init__(
        self,
        objective: Any = None,
        max_epochs: int = 100,
        factor: int = 3,
        hyperband_iterations: int | None = 1,
        seed: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        stopping: Any = None,
        sampler: str = "random",
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
        self.min_epochs = 1
        self.hyperband_iterations = optional_count("hyperband_iterations", hyperband_iterations, 0) or None

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "hyperband_iterations": self.hyperband_iterations}

    def planned_trials(self) -> int | None:
        """The trials of all brackets and iterations; None where iterations have no limit."""
        if self.hyperband_iterations is None:
            return None
        sizes = (
            self._get_size(b, r)
            for b in range(self._get_num_brackets())
            for r in range(self._get_num_rounds(b))
        )
        return self.hyperband_iterations * sum(sizes)

    def needed_trials(self) -> set[str]:
        """All trials of brackets that have not ended: their models may go on in a later round."""
        needed: set[str] = set()
        begun = self._begun()
        for bracket in begun:
            trials = [trial for trials in bracket.rounds for trial in trials]
            # The first round of the last bracket may still grow; that of an earlier one has all it will ever have.
            filled = bracket is not begun[-1] or len(bracket.rounds[0]) >= self._get_size(bracket.number, 0)
            is_over = filled and all(map(has_ended, trials)) and self._promoted(bracket, True)[1] is None
            if not is_over:
                needed |= {trial.trial_id for trial in trials}
        return needed

    def populate_space(self, trial_id: str) -> Proposal:
        del trial_id
        exhausted = False
        begun = self._begun()
        for bracket in begun:
            if len(bracket.rounds[0]) < self._get_size(bracket.number, 0):
                fresh = self._fresh(self._place(bracket.number, 0))
                if fresh is not None:
                    return fresh
                exhausted = True
            number, best = self._promoted(bracket, exhausted)
            if best is not None:
                return self._further(best, self._place(bracket.number, number))
        following = self._following(len(begun))
        fresh = None if following is None or exhausted else self._fresh(self._place(following, 0))
        return fresh or {"status": IDLE if self._unfinished() else STOPPED}

    # -- brackets ----------------------------------------------------------------------------------------

    def _begun(self) -> list[Bracket]:
        """The brackets that were begun, oldest first, with their trials."""
        brackets: list[Bracket] = []
        of_trial: dict[str, Bracket] = {}
        for trial in self.trials.values():
            values = trial.hyperparameters.values
            if trial.enqueued:
                continue
            bracket = of_trial.get(str(values.get("tuner/trial_id")))
            if bracket is not None:
                number = min(int(values.get("tuner/round", 0)), len(bracket.rounds) - 1)
            else:
                # A bracket's first round is filled before the next one begins.
                if not brackets or len(brackets[-1].rounds[0]) >= self._get_size(brackets[-1].number, 0):
                    brackets.append(self._new_bracket(self._nth_bracket(len(brackets))))
                bracket, number = brackets[-1], 0
            bracket.rounds[number].append(trial)
            of_trial[trial.trial_id] = bracket
        return brackets

    def _following(self, begun: int) -> int | None:
        """The number of the bracket that comes after so many; None after the last iteration."""
        if self.hyperband_iterations and begun >= self._get_num_brackets() * self.hyperband_iterations:
            return None
        return self._nth_bracket(begun)

    def _nth_bracket(self, n: int) -> int:
        # An iteration begins with the bracket that halves most often.
        return self._get_num_brackets() - 1 - n % self._get_num_brackets()

    def _new_bracket(self, number: int) -> Bracket:
        return Bracket(number, [[] for _ in range(self._get_num_rounds(number))])

    def _promoted(self, bracket: Bracket, exhausted: bool) -> tuple[int, Trial | None]:
        """The round that can take a trial, and the trial of the round before that goes on in it.

        A trial goes on once it is sure to be among the best of its round, which may be before the round ended.

        Args:
            bracket: The bracket.
            exhausted: Whether the space has no more values for its first round.
        """
        closed = exhausted or len(bracket.rounds[0]) >= self._get_size(bracket.number, 0)
        for number in range(1, len(bracket.rounds)):
            before, now = bracket.rounds[number - 1], bracket.rounds[number]
            size = self._get_size(bracket.number, number)
            # A closed round may have fewer trials than planned: failed ones don't go on, and a space can end.
            planned = len(before) if closed else self._get_size(bracket.number, number - 1)
            taken = {trial.hyperparameters.values.get("tuner/trial_id") for trial in now}
            ended = [t for t in before if has_ended(t) and t.trial_id not in taken]
            completed = self._ranked(ended)
            if completed and len(ended) > max(planned - size, 0):
                return number, completed[0]
            closed = len(now) >= size or (closed and not completed and all(map(has_ended, before)))
        return 0, None

    def _place(self, bracket: int, number: int) -> dict[str, Any]:
        return {
            "tuner/epochs": self._get_epochs(bracket, number),
            "tuner/initial_epoch": 0 if number == 0 else self._get_epochs(bracket, number - 1),
            "tuner/bracket": bracket,
            "tuner/round": number,
        }

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        """How many trials a round has."""
        last_bracket_size = math.ceil(1 + math.log(self.max_epochs, self.factor))
        return math.ceil(
            last_bracket_size / (bracket_num + 1) * float(self.factor) ** (bracket_num - round_num)
        )

    def _get_epochs(self, bracket_num: int, round_num: int) -> int:
        """Until which epoch the trials of a round train."""
        return math.ceil(self.max_epochs / float(self.factor) ** (bracket_num - round_num))

    def _get_num_rounds(self, bracket_num: int) -> int:
        return bracket_num + 1

    def _get_num_brackets(self) -> int:
        brackets, epochs = 0, float(self.max_epochs)
        while epochs >= self.min_epochs:
            epochs /= self.factor
            brackets += 1
        return brackets
