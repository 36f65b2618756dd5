"""`Oracle`: proposes hyperparameter values, and keeps the book of trials.

An oracle by itself works in memory. Bound to a `Ledger` (by a tuner, to a study on storage) the same methods
become decisions that many processes share: bring the oracle to the head, run the method with whatever a
subclass overrides, keep the difference (see `decision`).
"""

from __future__ import annotations

import copy
import functools
import math
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, cast

from ktcomponent.errors import ConfigurationError, FatalValueError, TooManyFailedTrials
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.metrics import MetricsTracker
from ktcomponent.objective import MultiObjective, create_objective
from ktcomponent.oracles.arguments import count, optional_count
from ktcomponent.oracles.decision import DECISIONS, synchronized
from ktcomponent.oracles.judging import Judging
from ktcomponent.oracles.keeping import Keeping
from ktcomponent.oracles.ledger import Ledger
from ktcomponent.oracles.proposal import IDLE, RUNNING, STOPPED, Proposal, Proposing
from ktcomponent.trial import Trial, TrialStatus

_OLDER_NAMES = {"_populate_space": "populate_space", "_score_trial": "score_trial"}


class Oracle(Judging, Keeping, Proposing):
    """Base of all oracles: the whole protocol, but for `populate_space`, which a subclass must have.

    Args:
        objective: A metric's name, an `Objective`, a list of those (their sum), or None where the trial
            returns a single float, which is minimised.
        max_trials: How many trials at most; None for no limit.
        hyperparameters: Overrides or registers hyperparameters in advance.
        allow_new_entries: Whether a model may ask for hyperparameters that are not in `hyperparameters`.
        tune_new_entries: Whether those are tuned; else they keep their defaults.
        seed: Makes proposals reproducible; None draws one, unless a study has one already.
        max_retries_per_trial: How often a trial that crashed or was invalid is run again.
        max_consecutive_failed_trials: After so many FAILED trials in a row the search stops.
        stopping: Ends trainings early that will not be among the best: "median", "asha", such a name with arguments as
            `{"rule": "median", "min_steps": 3}`, a `StoppingRule`, or None (default) for never. A training that is
            ended counts with what it has reached.

    Raises:
        ConfigurationError: If an argument can't be used, or new entries are forbidden without
            `hyperparameters`.

    Attributes:
        trials: All trials by id, in the order of creation.
        ongoing_trials: The running trial of each tuner id.
        chosen: Why this class was chosen, where nobody named it.
        start_order, end_order: Trial ids in the order of creation, and of their end.
    """

    def __init__(
        self,
        objective: Any = None,
        max_trials: int | None = None,
        hyperparameters: HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        seed: int | None = None,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
        stopping: Any = None,
    ) -> None:
        if hyperparameters is None and not (tune_new_entries and allow_new_entries):
            name = "allow_new_entries" if tune_new_entries else "tune_new_entries"
            raise ConfigurationError(
                f"With `{name}=False` the search space must be given by the `hyperparameters` argument."
            )
        seed = optional_count("seed", seed, least=None)
        self.objective = create_objective(objective)
        self.max_trials = optional_count("max_trials", max_trials)
        if not isinstance(hyperparameters, (HyperParameters, type(None))):
            raise ConfigurationError(
                f"`hyperparameters` must be a `HyperParameters` object, got {hyperparameters!r}."
            )
        self.hyperparameters = hyperparameters or HyperParameters()
        self.allow_new_entries = allow_new_entries
        self.tune_new_entries = tune_new_entries
        # A drawn seed gives way to the one that a study keeps.
        self._seed_is_drawn = seed is None
        self.seed: int = secrets.randbits(31) if seed is None else seed
        self.max_retries_per_trial = count("max_retries_per_trial", max_retries_per_trial, least=0)
        self.max_consecutive_failed_trials = count(
            "max_consecutive_failed_trials", max_consecutive_failed_trials
        )
        self.stopping = stopping
        self._unjudged = False
        self._peeking = False  # only the status of the next trial is asked for
        self.overridden = [hp.name for hp in self.hyperparameters.space]

        self.trials: dict[str, Trial] = {}
        self.ongoing_trials: dict[str, Trial] = {}
        self.start_order: list[str] = []
        self.end_order: list[str] = []
        self.chosen: str | None = None
        self.verbose: Any = 1
        # Where its tuner keeps the study.
        self.directory: str | None = None
        self.project_name: str | None = None
        # Of the workers that train one model together only the chief reports; see `Tuner`.
        self.multi_worker = False
        self.should_report = True
        self._failures_from = 0
        self._retry_queue: list[str] = []
        self._tried_so_far: set[str] = set()
        self._id_to_hash: defaultdict[str, str | None] = defaultdict(lambda: None)
        self._seed_state: int = self.seed
        self._max_collisions = 20
        self._candidate = 0
        self._proposed: list[Proposal] = []
        self._basis: dict[str, Any] | None = None
        self._times_proposed = 0
        self._known_records: dict[str, tuple[Mapping[str, Any], Trial]] = {}
        self._ledger: Ledger | None = None
        self._lock = threading.RLock()
        self._deciding = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for older, name in _OLDER_NAMES.items():
            defined = cls.__dict__.get(name, cls.__dict__.get(older))
            if defined is not None:
                setattr(cls, name, defined)
                setattr(cls, older, defined)
        for name in DECISIONS:
            # Also what a mixin brings that is no oracle itself.
            setattr(cls, name, synchronized(getattr(cls, name)))

    # -- to override -------------------------------------------------------------------------------------

    def populate_space(self, trial_id: str) -> Proposal:
        """Proposes the values of a new trial.

        Args:
            trial_id: The new trial's id.

        Returns:
            `{"status": RUNNING, "values": {...}}` with values of active hyperparameters,
            `{"status": IDLE}` to be asked again later, or `{"status": STOPPED}` when the search is over.
        """
        raise NotImplementedError

    def score_trial(self, trial: Trial) -> None:
        """Sets `score` and `best_step` of a trial that completed, by default from the objective's history."""
        objective = self.objective
        if isinstance(objective, MultiObjective) and not trial.metrics.exists(objective.name):
            trial.score = objective.get_value(
                {name: trial.metrics.get_best_value(name) for name in objective.name_to_direction}
            )
            trial.best_step = trial.metrics.get_best_step(next(iter(objective.name_to_direction)))
            return
        trial.score = trial.metrics.get_best_value(objective.name)
        trial.best_step = trial.metrics.get_best_step(objective.name)

    # The older names, for subclasses that call them through `super()`.
    _populate_space = populate_space
    _score_trial = score_trial

    def needed_trials(self) -> set[str]:
        """Ended trials whose models a later trial may go on with, so that they must be kept."""
        return set()

    def complete_values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Values that a person asks to be tried, with what this oracle's trials have beside them."""
        return values

    def next_status(self) -> str:
        """What `create_trial` would answer, on an oracle that is thrown away afterwards."""
        self._peeking = True
        try:
            return self.create_trial("peek").status
        finally:
            self._peeking = False

    def planned_trials(self) -> int | None:
        """How many trials the configuration implies, or None where it sets no number."""
        return self.max_trials

    # -- decisions ---------------------------------------------------------------------------------------

    @synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """Gives a trial to run.

        Args:
            tuner_id: Who asks. While its trial runs, the same one is given again.

        Returns:
            A trial with status RUNNING; or an empty one with status IDLE (ask again) or STOPPED (the search
            is over).
        """
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        if self._retry_queue:
            first = min(self._retry_queue, key=lambda i: self.trials[i].number or 0)
            self._retry_queue.remove(first)
            trial = self.trials[first]
            # A run of its own: nothing of the one that failed counts in it.
            trial.status, trial.message, trial.score = TrialStatus.RUNNING, None, None
            trial.metrics, trial.rungs, trial.stopped = MetricsTracker(), {}, None
            self.ongoing_trials[tuner_id] = trial
            return trial

        number = len(self.trials)
        trial_id = self._next_id()
        self._candidate = 0
        proposal: Proposal
        if self.max_trials is not None and number >= self.max_trials:
            proposal = {"status": STOPPED}
        elif self._space_unknown():
            proposal = {"status": IDLE}
        else:
            proposal = self._kept_proposal() or self._propose(trial_id)
        return self._new_trial(tuner_id, trial_id, proposal)

    @synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, Any], step: int = 0) -> Trial:
        """Takes metrics of a running trial.

        Args:
            trial_id: Its id.
            metrics: Values by name; the objective must be among them.
            step: What they belong to, for example the epoch.

        Returns:
            The trial; its status is STOPPED where the stopping rule ends the training, which is then to be completed with
            what it has reached. Else it is RUNNING.

        Raises:
            FatalValueError: If the objective is missing.
        """
        trial = self.trials[trial_id]
        self._check_objective_found(metrics)
        self._take_metrics(trial, metrics, step)
        rung = self.due_rung(trial_id, step)
        if rung is not None:
            self._judge(trial, rung, self._best_so_far(trial))
        if trial.stopped is None:
            return trial
        told = copy.copy(trial)
        told.status = TrialStatus.STOPPED
        return told

    def _take_metrics(self, trial: Trial, metrics: Mapping[str, Any], step: int) -> None:
        directions = {o.name: o.direction for o in getattr(self.objective, "objectives", [self.objective])}
        for name, value in metrics.items():
            if not trial.metrics.exists(name):
                trial.metrics.register(name, directions.get(name))
            trial.metrics.update(name, value, step)

    @synchronized
    def end_trial(self, trial: Trial) -> None:
        """Takes the end of a trial's run.

        Args:
            trial: With status COMPLETED, INVALID (failed, to be retried while retries are left) or FAILED,
                and a message if it failed. The older form `end_trial(trial_id, status)` works too.

        Raises:
            TooManyFailedTrials: If this was the last straw; the end of the trial is kept all the same.
        """
        known = self.trials[trial.trial_id]
        known.hyperparameters = trial.hyperparameters
        known.unused = trial.hyperparameters.unused()
        known.status = TrialStatus.COMPLETED if trial.status == TrialStatus.STOPPED else trial.status
        known.message = trial.message
        self.update_space(known.hyperparameters)
        if known.status == TrialStatus.COMPLETED:
            self.score_trial(known)
            if known.score is None or not math.isfinite(known.score):
                known.status = TrialStatus.INVALID
                known.message = (
                    f"The objective {self.objective.name!r} is {known.score}, not a finite number."
                )
                known.score = None
        self._record_values(known)
        known.runs += 1
        if known.status == TrialStatus.INVALID and known.runs <= self.max_retries_per_trial:
            self._retry_queue.append(known.trial_id)
        else:
            if known.status == TrialStatus.INVALID:
                known.status = TrialStatus.FAILED
            known.ended = len(self.end_order)
            self.end_order.append(known.trial_id)
        for tuner_id in [t for t, o in self.ongoing_trials.items() if o.trial_id == known.trial_id]:
            del self.ongoing_trials[tuner_id]

    @synchronized
    def update_space(self, hyperparameters: HyperParameters) -> None:
        """Adds hyperparameters that are not in the search space yet.

        Raises:
            FatalValueError: If there are some and `allow_new_entries` is False.
        """
        new = [hp for hp in hyperparameters.space if not self.hyperparameters._exists(hp.name, hp.conditions)]
        if new and not self.allow_new_entries:
            raise FatalValueError(
                f"`allow_new_entries` is False, but the model asks for new hyperparameters: {new}. "
                "Declare them in `hyperparameters`, or allow new entries."
            )
        if new and self.tune_new_entries:
            self.hyperparameters.merge(new)
            for trial in self.trials.values():
                if trial.status in (TrialStatus.RUNNING, TrialStatus.INVALID):
                    self._record_hash(trial)

    def _decide(self, name: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        ledger = self._ledger
        if name == "end_trial":
            (trial,) = args
            if ledger is None:
                method(trial)
            else:
                ledger.end_trial(trial, method)
            self._settle(trial)
            self._check_consecutive_failures()
            return None
        call = functools.partial(method, *args, **kwargs)
        if name == "create_trial":
            tuner_id = kwargs["tuner_id"] if kwargs else args[0]
            adopted = functools.partial(self._adopt, call)
            self.forget_proposal()
            return adopted() if ledger is None else ledger.create_trial(tuner_id, adopted)
        if ledger is None:
            return call()
        if name == "should_stop":
            trial_id, _, step = _should_stop_arguments(*args, **kwargs)
            return ledger.should_stop(trial_id, step, call)
        if name == "update_trial":
            return ledger.update_trial(*_update_arguments(*args, **kwargs), call)
        return ledger.update_space(call)

    def _adopt(self, create_trial: Callable[[], Trial]) -> Trial:
        """Takes up a trial that an override made by itself."""
        trial = create_trial()
        if trial.status == TrialStatus.RUNNING and trial.number is None:
            self.trials.pop(trial.trial_id, None)
            trial.number = len(self.trials)
            self.trials[trial.trial_id] = trial
            self._record_values(trial)
            if trial.trial_id not in self.start_order:
                self.start_order.append(trial.trial_id)
        return trial

    def trial_of_values(self, tuner_id: str, values: dict[str, Any]) -> Trial | None:
        """A new running trial with values that a person asked for; None where `max_trials` is reached.

        Args:
            tuner_id: Who runs it.
            values: By name; hyperparameters that are left out take their defaults.
        """
        if self.max_trials is not None and len(self.trials) >= self.max_trials:
            return None
        proposal: Proposal = {"status": RUNNING, "values": self.complete_values(values)}
        trial = self._new_trial(tuner_id, self._next_id(), proposal)
        trial.enqueued = True
        return trial

    def _next_id(self) -> str:
        return f"{len(self.trials):0{len(str(self.max_trials or 9999))}d}"

    def _new_trial(self, tuner_id: str, trial_id: str, proposal: Proposal) -> Trial:
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(proposal.get("values") or {})
        trial = Trial(hyperparameters, trial_id, proposal["status"])
        if trial.status == TrialStatus.RUNNING:
            trial.number = len(self.trials)
            trial.why = proposal.get("why")
            self._record_values(trial)
            self.trials[trial_id] = trial
            self.start_order.append(trial_id)
            self.ongoing_trials[tuner_id] = trial
        return trial

    def _settle(self, trial: Trial) -> None:
        """Lets the caller's object be the oracle's own again, with all that was decided about it."""
        known = self.trials[trial.trial_id]
        if known is not trial:
            vars(trial).update(vars(known))
            self.trials[trial.trial_id] = trial

    # -- reading -----------------------------------------------------------------------------------------

    def get_space(self) -> HyperParameters:
        """A copy of the search space, with default values."""
        return self.hyperparameters.copy()

    def get_trial(self, trial_id: str) -> Trial:
        return self.trials[trial_id]

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The completed trials, best first; others follow only where there are fewer than `num_trials`."""
        self.refresh()
        return self._rank(num_trials)

    def _rank(self, num_trials: int = 1) -> list[Trial]:
        """Like `get_best_trials`, of what is known here without asking others."""
        completed = [t for t in self.trials.values() if t.status == TrialStatus.COMPLETED]
        sign = self.objective.sign
        best = sorted(completed, key=lambda t: (sign * cast("float", t.score), t.number or 0))
        if len(best) < num_trials:
            best += [t for t in self.trials.values() if t.status != TrialStatus.COMPLETED]
        return best[:num_trials]

    def remaining_trials(self) -> int | None:
        self.refresh()
        return None if self.max_trials is None else self.max_trials - len(self.trials)

    # -- the ledger --------------------------------------------------------------------------------------

    def bind(self, ledger: Ledger | None) -> None:
        """Makes the deciding methods commit to `ledger`, or work in memory again with None."""
        self._ledger = ledger

    def refresh(self) -> None:
        """Brings a bound oracle to the head of the shared search."""
        if self._ledger is not None and not self._deciding:
            with self._lock:
                self._ledger.refresh()

    def save(self) -> None:
        """For programs written for KerasTuner: every decision is kept as it is made."""

    def reload(self) -> None:
        self.refresh()

    # -- for subclasses ----------------------------------------------------------------------------------

    def _unfinished(self) -> bool:
        """Whether a trial runs or is due for a retry, whoever has it."""
        return any(t.status in (TrialStatus.RUNNING, TrialStatus.INVALID) for t in self.trials.values())

    def _space_unknown(self) -> bool:
        """Whether the space is still empty while a trial runs that may yet declare hyperparameters."""
        return not self.hyperparameters.space and self._unfinished()

    def _check_objective_found(self, metrics: Mapping[str, Any]) -> None:
        wanted = list(getattr(self.objective, "name_to_direction", [self.objective.name]))
        missing = [name for name in wanted if name not in metrics]
        if missing:
            raise FatalValueError(
                f"Objective value missing in metrics reported to the Oracle, expected: {missing}, "
                f"found: {sorted(metrics)}."
            )

    def forgive_failures(self) -> None:
        """Lets failures up to now not count in a row with later ones: somebody has mended what failed."""
        self._failures_from = len(self.end_order)

    def _check_consecutive_failures(self) -> None:
        limit = self.max_consecutive_failed_trials
        latest = [self.trials[trial_id] for trial_id in self.end_order[self._failures_from :][-limit:]]
        if len(latest) == limit and all(t.status == TrialStatus.FAILED for t in latest):
            reason = f"{limit} trials in a row failed"
            if self._ledger is not None:
                self._ledger.stop(reason, failures=True)
            raise TooManyFailedTrials(
                f"Number of consecutive failures exceeded the limit of {limit}. The last one:\n"
                f"{latest[-1].message or ''}"
            )


def _update_arguments(
    trial_id: str, metrics: dict[str, Any], step: int = 0
) -> tuple[str, dict[str, Any], int]:
    return trial_id, metrics, step


def _should_stop_arguments(trial_id: str, value: float, step: int = 0) -> tuple[str, float, int]:
    return trial_id, value, step
