"""What a study keeps of an oracle: its settings, chosen by people, and its state, which follows from trials."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.objective import Objective
from ktcomponent.oracles.drawing import Drawing
from ktcomponent.oracles.ledger import Ledger
from ktcomponent.oracles.stopping import StoppingRule
from ktcomponent.trial import Trial, TrialStatus


class Keeping(Drawing):
    """The part of an oracle that a study keeps."""

    objective: Objective
    max_trials: int | None
    allow_new_entries: bool
    max_retries_per_trial: int
    max_consecutive_failed_trials: int
    ongoing_trials: dict[str, Trial]
    start_order: list[str]
    end_order: list[str]
    _stopping: StoppingRule | None
    _seed_state: int
    _failures_from: int
    _retry_queue: list[str]
    _known_records: dict[str, tuple[Mapping[str, Any], Trial]]
    _ledger: Ledger | None

    fixed_settings: tuple[str, ...] = ("objective",)
    """Settings that never change in a study: with another value it is another search."""

    limits: tuple[str, ...] = ("max_trials", "max_consecutive_failed_trials")
    """Settings that end a search; it goes on when one of them is raised."""

    def settings(self) -> dict[str, Any]:
        """The constructor arguments that a study keeps as its configuration, as JSON; a subclass adds its own.

        The seed and the search space are part of the state instead.
        """
        return {
            "objective": self.objective.get_config(),
            "max_trials": self.max_trials,
            "allow_new_entries": self.allow_new_entries,
            "tune_new_entries": self.tune_new_entries,
            "max_retries_per_trial": self.max_retries_per_trial,
            "max_consecutive_failed_trials": self.max_consecutive_failed_trials,
            "stopping": None if self._stopping is None else self._stopping.get_config(),
        }

    def apply_settings(self, settings: Mapping[str, Any]) -> None:
        """Takes over the settings that a study keeps; the fixed ones never change."""
        for name, value in self.complete_settings(settings).items():
            if name not in self.fixed_settings:
                setattr(self, name, value)

    def complete_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What a study keeps, and the defaults of those that are newer than the study."""
        arguments = inspect.signature(type(self)).parameters
        defaults = {name: p.default for name, p in arguments.items() if p.default is not p.empty}
        return {
            name: {**defaults, **settings}[name]
            for name in self.settings()
            if name in {**defaults, **settings}
        }

    def get_state(self) -> dict[str, Any]:
        """The whole oracle as JSON; a subclass adds its own keys to what `super().get_state()` gives."""
        return {
            **self._common_state(),
            "ongoing_trials": {tuner_id: t.trial_id for tuner_id, t in self.ongoing_trials.items()},
            "trials": {trial_id: t.to_record() for trial_id, t in self.trials.items()},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `get_state` gave: the same oracle, to the next proposal."""
        self.hyperparameters = HyperParameters.from_config(state["hyperparameters"])
        self.seed = state["seed"]
        self._seed_state = state["seed_state"]
        self._failures_from = state.get("failures_from", 0)
        if self._ledger is None:
            self._known_records.clear()
        records = state["trials"]
        order = sorted(records, key=lambda i: records[i]["number"])
        self.trials = {trial_id: self._trial_of(trial_id, records[trial_id]) for trial_id in order}
        self.ongoing_trials = {t: self.trials[i] for t, i in state.get("ongoing_trials", {}).items()}
        self._derive()

    def _common_state(self) -> dict[str, Any]:
        """The part of the state that does not grow with the number of trials."""
        return {
            "hyperparameters": self.hyperparameters.get_config(),
            "seed": self.seed,
            "seed_state": self._seed_state,
            **({"failures_from": self._failures_from} if self._failures_from else {}),
        }

    def _derive(self) -> None:
        """Rebuilds what follows from the trials' records and so is not stored."""
        trials = self.trials.values()
        self.start_order = list(self.trials)
        ended = [t for t in trials if t.ended is not None]
        self.end_order = [t.trial_id for t in sorted(ended, key=lambda t: cast("int", t.ended))]
        self._retry_queue = [t.trial_id for t in trials if t.status == TrialStatus.INVALID]
        self._id_to_hash.clear()
        for trial in trials:
            self._id_to_hash[trial.trial_id] = self._hash_of(trial)
        self._tried_so_far = {h for h in self._id_to_hash.values() if h is not None}

    def _trial_of(self, trial_id: str, record: Mapping[str, Any]) -> Trial:
        """The trial of a record: the same object as last time where the record is the same object."""
        known = self._known_records.get(trial_id)
        if known is not None and known[0] is record:
            return known[1]
        trial = Trial.from_record(trial_id, record, self.hyperparameters)
        self._known_records[trial_id] = (record, trial)
        return trial

    def _remember(self, trial_id: str | None, record: Mapping[str, Any] | None) -> None:
        """Says that a trial is as in `record`; with None that it (or with no id, any) may not be."""
        if trial_id is None:
            self._known_records.clear()
        elif record is None:
            self._known_records.pop(trial_id, None)
        else:
            self._known_records[trial_id] = (record, self.trials[trial_id])
