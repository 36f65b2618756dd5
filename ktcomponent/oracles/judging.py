"""Ending trainings early: what a stopping rule says about those of an oracle."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from typing import Any

from ktcomponent.objective import Objective
from ktcomponent.oracles.decision import synchronized
from ktcomponent.oracles.stopping import StoppingRule, stopping_rule
from ktcomponent.trial import Trial, TrialStatus


class Judging:
    """The part of an oracle that ends trainings early."""

    trials: dict[str, Trial]
    objective: Objective
    multi_worker: bool
    _unjudged: bool

    def score_trial(self, trial: Trial) -> None:
        raise NotImplementedError

    @property
    def stopping(self) -> StoppingRule | None:
        """The rule that ends trainings early, if any."""
        return self._stopping

    @stopping.setter
    def stopping(self, rule: Any) -> None:
        self._stopping = stopping_rule(rule)

    @synchronized
    def should_stop(self, trial_id: str, value: float, step: int = 0) -> bool:
        """Whether the stopping rule ends the training of a trial; for who reports its metrics only at the end.

        Args:
            trial_id: Its id.
            value: The best value of the objective so far.
            step: The step that has just ended, from 0; for example the epoch.
        """
        trial = self.trials[trial_id]
        rung = self.due_rung(trial_id, step)
        if rung is not None:
            self._judge(trial, rung, value)
        return trial.stopped is not None

    def due_rung(self, trial_id: str, step: int) -> int | None:
        """The rung that a training has come to with this step, None where nothing is to be judged."""
        trial = self.trials.get(trial_id)
        if (
            self._stopping is None
            or self.multi_worker
            or self._unjudged
            or trial is None
            or trial.stopped is not None
        ):
            return None
        rung = self._stopping.rung(step + 1)
        values = trial.hyperparameters.values
        # The training of a promoted model passed its first rungs before; one at its last epoch ends in any case.
        if rung is None or rung <= values.get("tuner/initial_epoch", 0) or rung in trial.rungs:
            return None
        return rung if step + 1 < values.get("tuner/epochs", math.inf) else None

    @contextlib.contextmanager
    def unjudged(self) -> Iterator[None]:
        """Within it the stopping rule doesn't look: what is reported belongs to a training that has come to its end."""
        self._unjudged = True
        try:
            yield
        finally:
            self._unjudged = False

    def _judge(self, trial: Trial, rung: int, value: float) -> None:
        """Keeps what a training has reached at a rung, and ends it where the rule says so."""
        assert self._stopping is not None
        sign = self.objective.sign
        mine = sign * value if math.isfinite(value) else math.inf
        trial.rungs = {**trial.rungs, rung: sign * mine}
        others = [t.rungs for t in self.trials.values() if t.rungs and t is not trial]
        if sum(rung in other for other in others) < self._stopping.min_trials:
            return
        curve, *curves = ({n: sign * v for n, v in known.items()} for known in (trial.rungs, *others))
        if math.isinf(mine) or (not self._has_grace(rung) and self._stopping.is_hopeless(curve, curves)):
            trial.stopped = rung

    def _has_grace(self, rung: int) -> bool:
        """Whether it is too early to end a training, by how long those were that nothing ended."""
        assert self._stopping is not None
        if self._stopping.grace == 0.0:
            return False
        whole = (
            max(t.rungs)
            for t in self.trials.values()
            if t.rungs and t.stopped is None and t.status == TrialStatus.COMPLETED
        )
        return rung < self._stopping.grace * max(whole, default=math.inf)

    def _best_so_far(self, trial: Trial) -> float:
        ended = copy.copy(trial)
        self.score_trial(ended)
        return math.nan if ended.score is None else ended.score
