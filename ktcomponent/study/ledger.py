"""`StudyLedger`: makes an oracle's decisions commits of a study.

A decision brings the oracle to the head, runs the oracle's method, and commits the difference between its
state and the document. After a lost race the oracle is set back to the new head and the method runs again.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ktcomponent.errors import AttemptLost, Fenced, Refused, StorageError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.metrics import MetricsTracker
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.study import artifacts, incarnations, retention
from ktcomponent.study.along import TakenAlong
from ktcomponent.study.entry import plain, revive
from ktcomponent.study.expiry import Expiry
from ktcomponent.study.oracle_document import OracleDocument, change
from ktcomponent.study.patch import Patch
from ktcomponent.study.state import StudyState
from ktcomponent.study.study import Draft, Study, Writer
from ktcomponent.trial import Trial, TrialStatus

AS_THEY_ARE = ("hyperparameters", "trials")
"""What of an oracle's state tells strings from numbers itself."""

_LOG = logging.getLogger(__name__)


class StudyLedger:
    """See `ktcomponent.oracles.ledger.Ledger`.

    Args:
        study: The study.
        oracle: The oracle; the caller binds it.
        writer: The owner and the incarnation under which to commit.
        is_open: Whether a supervisor has opened the incarnation; else the first claim does.

    Attributes:
        along: What every commit takes along beside its decision.
        folder_of: Gives the local folder of a trial's files, which `end_trial` uploads, or None.
        on_vanished: Told of a trial that failed without running, since its workers vanished too often.
        small_files: Names of files that stay where a trial's checkpoints are given up.
    """

    def __init__(self, study: Study, oracle: Oracle, writer: Writer, is_open: bool = False) -> None:
        self.study = study
        self.oracle = oracle
        # Bound to one generation: after a reset nothing of this ledger can be committed any more.
        self.writer = dataclasses.replace(writer, generation=study.state.generation)
        self.along = TakenAlong()
        self.folder_of: Callable[[str], Path | None] = lambda _: None
        self.on_vanished: Callable[[Trial], None] = lambda _: None
        self.small_files: frozenset[str] = frozenset()
        self._is_open = is_open
        self._expiry: Expiry | None = None
        self._synced: tuple[int, int] | None = None
        self._held: dict[str, str] = {}
        self._reports: dict[str, list[tuple[dict[str, Any], int]]] = {}
        self._document = OracleDocument(oracle)

    # -- the protocol ------------------------------------------------------------------------------------

    def refresh(self) -> None:
        self.study.refresh()
        self._sync()

    def create_trial(self, tuner_id: str, method: Callable[[], Trial]) -> Trial:
        if tuner_id in self.oracle.ongoing_trials:
            return self.oracle.ongoing_trials[tuner_id]
        self.open()
        while True:
            trial = self._claim(tuner_id, method)
            lost = self.study.state.leases.get(trial.trial_id, {}).get("losses", 0)
            if trial.status != TrialStatus.RUNNING or lost < self.study.state.config["max_attempts"]:
                return trial
            trial.status = TrialStatus.FAILED
            trial.message = f"Its worker vanished {lost} times."
            self._finish(trial, self.oracle.end_trial, [])
            self.on_vanished(self.oracle.trials[trial.trial_id])
            self.oracle._check_consecutive_failures()

    def update_trial(
        self, trial_id: str, metrics: dict[str, Any], step: int, method: Callable[[], Trial]
    ) -> Trial:
        outcome: list[Trial] = []
        if type(self.oracle).update_trial is Oracle.update_trial:
            reports = self._reports.setdefault(trial_id, [])
            if self.oracle.due_rung(trial_id, step) is None:
                trial = method()
                reports.append((metrics, step))
                return trial
            self._pass_rung(trial_id, lambda: outcome.append(method()))
            reports.append((metrics, step))
            self._renew(trial_id)
            return outcome[-1]

        def decide(_: StudyState) -> Draft:
            self._sync()
            outcome[:] = [method()]
            return Draft("report", trial_id, self._attempt(trial_id), self._difference([trial_id]))

        self._commit(decide)
        return outcome[0]

    def should_stop(self, trial_id: str, step: int, method: Callable[[], bool]) -> bool:
        outcome: list[bool] = []
        if self.oracle.due_rung(trial_id, step) is None:
            return method()
        self._pass_rung(trial_id, lambda: outcome.append(method()))
        self._renew(trial_id)
        return outcome[-1]

    def _pass_rung(self, trial_id: str, method: Callable[[], None]) -> None:
        """Commits what the stopping rule has judged, which others' trainings are judged by."""

        def decide(state: StudyState) -> Draft:
            self._renew(trial_id)
            method()
            return self._report_of_rungs(state, trial_id)

        self._commit(decide)

    def _report_of_rungs(self, state: StudyState, trial_id: str) -> Draft:
        record = self.oracle.trials[trial_id].with_rungs(state.trials[trial_id])
        patch = change(
            state.document["oracle"]["trials"], trial_id, plain(record), ["oracle", "trials", trial_id]
        )
        return Draft("report", trial_id, self._attempt(trial_id), patch)

    def end_trial(self, trial: Trial, method: Callable[[Trial], None]) -> None:
        trial_id = trial.trial_id
        attempt = self._attempt(trial_id)
        folder = self.folder_of(trial_id)
        files: list[artifacts.File] = []
        if folder is not None:
            generation = self.study.state.generation
            files = artifacts.upload(self.study.storage, generation, trial_id, attempt, folder)
        self._finish(trial, method, files)
        if self.study.state.config.get("keep_checkpoints", "all") != "all":
            self._drop_surplus()

    def _drop_surplus(self) -> None:
        self._sync()
        try:
            needed = self.oracle.needed_trials()
            retention.drop_surplus(self.study, self.writer, needed, self.small_files)
        except StorageError as error:
            # The trial has ended all the same; what is left is dropped after the next one, or by `gc`.
            _LOG.warning("Checkpoints could not be removed: %s", error)

    def _finish(self, trial: Trial, method: Callable[[Trial], None], files: list[artifacts.File]) -> None:
        trial_id = trial.trial_id
        attempt = self._attempt(trial_id)

        def decide(_: StudyState) -> Draft:
            self._renew(trial_id)
            # As in memory, the method gets the oracle's own trial, so an override sees what super() decided.
            known = self.oracle.trials[trial_id]
            known.hyperparameters = trial.hyperparameters
            known.status, known.message = trial.status, trial.message
            method(known)
            return Draft("finish", trial_id, attempt, self._difference([trial_id]), {"files": files})

        self._commit(decide)
        self._reports.pop(trial_id, None)
        self._drop_held(trial_id)

    def update_space(self, method: Callable[[], None]) -> None:
        def decide(state: StudyState) -> Draft | None:
            self._sync()
            method()
            patch = self._difference([])
            if not patch:
                return None
            held = state.held(self.writer.owner, self.writer.incarnation)
            for trial_id, attempt in held.items():
                return Draft("report", trial_id, attempt, patch)
            return Draft("config", patch=patch)

        self._commit(decide)

    def stop(self, reason: str, failures: bool = False) -> None:
        incarnations.stop(self.study, self.writer, reason, failures=failures)

    # -- beyond the protocol -----------------------------------------------------------------------------

    def open(self) -> None:
        """Opens the incarnation, unless that was done."""
        if not self._is_open:
            incarnations.take_over(self.study, self.writer, "a search begins")
            self._is_open = True

    def close(self, reason: str, broken_off: bool = False) -> None:
        """Gives back what is held; a later claim opens a new incarnation.

        Args:
            reason: For the reader of the log.
            broken_off: Whether a commit may still be on its way, so that the incarnation must be closed even
                where it seems to hold nothing.
        """
        if self._is_open:
            self.study.refresh()
            if broken_off or self.study.state.held(self.writer.owner, self.writer.incarnation):
                incarnations.give_back(self.study, self.writer, reason)
                self.writer = dataclasses.replace(self.writer, incarnation=incarnations.new_incarnation())
                self._is_open = False
        self._reports.clear()
        self._held.clear()
        self.oracle.ongoing_trials.clear()

    def reports_of(self, trial_id: str) -> list[list[Any]]:
        """What this worker has reported of its running trial: `[metrics, step]` each."""
        return [[dict(metrics), step] for metrics, step in self._reports.get(trial_id, [])]

    def restore(self, trial_id: str, reports: Sequence[Sequence[Any]], rungs: Mapping[str, Any]) -> None:
        """Takes up what was known of an earlier attempt at the checkpoint that this one goes on from.

        Args:
            trial_id: The trial.
            reports: What `reports_of` told. An oracle that keeps reports of its own has them already, so they count in the
                trial's metrics alone.
            rungs: What `Trial.record_of_rungs` told. It is committed, since others are judged by it.
        """
        self._reports[trial_id] = [(dict(metrics), int(step)) for metrics, step in reports]
        self._renew(trial_id)

        def decide(state: StudyState) -> Draft | None:
            self._renew(trial_id)
            trial = self.oracle.trials[trial_id]
            before = trial.record_of_rungs()
            trial.take_rungs(rungs)
            return self._report_of_rungs(state, trial_id) if trial.record_of_rungs() != before else None

        self._commit(decide)

    def watch_others(self) -> list[str]:
        """While there is nothing to claim: gives back what was claimed by workers that show no sign of life.

        Returns:
            The trials that were given back.
        """
        if self._expiry is None:
            self._expiry = Expiry(self.study, self.writer)
        return self._expiry.look()

    def forget(self, trial_id: str) -> None:
        """Nothing of a trial that others took is to be committed."""
        self._drop_held(trial_id)
        self._reports.pop(trial_id, None)
        for tuner_id in [t for t, trial in self.oracle.ongoing_trials.items() if trial.trial_id == trial_id]:
            del self.oracle.ongoing_trials[tuner_id]
        self._restart()

    def peek(self) -> str:
        """What `create_trial` would answer now: RUNNING, IDLE or STOPPED. Commits nothing."""
        self.refresh()
        state = self.study.state
        if state.stop is not None:
            return TrialStatus.STOPPED
        if state.free():
            return TrialStatus.RUNNING
        room = self.oracle.max_trials is None or len(self.oracle.trials) < self.oracle.max_trials
        if state.queue and room:
            return TrialStatus.RUNNING
        self.oracle.bind(None)
        try:
            status = self.oracle.next_status()
        finally:
            self.oracle.bind(self)
            self._restart()
        return TrialStatus.IDLE if status == TrialStatus.STOPPED and state.running() else status

    def reconfigure(self, settings: dict[str, Any], seed: int | None, space: HyperParameters) -> None:
        """Commits changed settings, a changed seed and new hyperparameters; a raised limit reopens the search.

        Args:
            settings: The settings to change, by name.
            seed: The seed to use from now on; None keeps it.
            space: Hyperparameters to add where they are new.
        """

        def decide(state: StudyState) -> Draft | None:
            self._sync()
            if seed is not None and seed != self.oracle.seed:
                self.oracle.seed = self.oracle._seed_state = seed
            self.oracle.update_space(space)
            kept = state.config["oracle"]
            changed = {key: value for key, value in settings.items() if kept.get(key) != value}
            patch: Patch = [["set", ["config", "oracle", key], value] for key, value in changed.items()]
            limits = {key: value for key, value in changed.items() if key in self.oracle.limits}
            reopen = any(_raised(kept.get(key), value) for key, value in limits.items())
            if reopen and state.stop is not None and state.stop.get("failures"):
                self.oracle.forgive_failures()
            patch += self._difference([])
            if not patch:
                return None
            return Draft("config", patch=patch, extra={"reopen": reopen})

        self.oracle.bind(None)
        try:
            self._commit(decide)
        finally:
            self.oracle.bind(self)
        self._restart()
        self._sync()

    def tuner_state(self, tuner_id: str) -> dict[str, Any] | None:
        """What the study keeps of a tuner, None if nothing."""
        kept: dict[str, Any] | None = self.study.state.document.get("tuners", {}).get(tuner_id)
        return None if kept is None else revive(kept)

    def flush(self) -> None:
        """Commits what would go along with the next commit, if that is anything."""

        def decide(state: StudyState) -> Draft | None:
            return Draft("config") if self.along.patch(state) else None

        if self.along.patch(self.study.state):
            self._commit(decide)

    def go_on_after_failures(self) -> None:
        """Reopens a search that ended because too many trials in a row failed; those are not counted again."""

        def decide(state: StudyState) -> Draft | None:
            if state.stop is None or not state.stop.get("failures"):
                return None
            self._sync()
            self.oracle.forgive_failures()
            return Draft("config", patch=self._difference([]), extra={"reopen": True})

        self._commit(decide)

    # -- inside ------------------------------------------------------------------------------------------

    def _claim(self, tuner_id: str, method: Callable[[], Trial]) -> Trial:
        outcome: list[Trial] = []
        self.oracle.forget_proposal()

        def decide(state: StudyState) -> Draft | None:
            self._sync()
            outcome[:] = [_empty(TrialStatus.STOPPED)]
            if state.stop is not None:
                return None
            if state.config.get("import", {}).get("complete") is False:
                raise Refused(
                    f"An import into the study {self.study.url} has not been completed. Run `ktcomponent import` again."
                )
            for trial_id in state.free():
                self._renew(trial_id)
                given_back = self.oracle.trials[trial_id]
                # What a lost attempt reported doesn't count in the next one.
                given_back.metrics, given_back.score, given_back.message = MetricsTracker(), None, None
                given_back.rungs, given_back.stopped = {}, None
                outcome[:] = [given_back]
                return self._claim_of(state, tuner_id, trial_id, self._difference([trial_id]))
            for waiting in state.queue:
                enqueued = self.oracle.trial_of_values(
                    tuner_id, self.oracle.hyperparameters.revived(waiting["values"])
                )
                if enqueued is None:
                    break  # the search has no room for more trials
                outcome[:] = [enqueued]
                patch = self._difference([enqueued.trial_id])
                about = {"queued": waiting["enqueued"]}
                return self._claim_of(state, tuner_id, enqueued.trial_id, patch, about)
            trial = method()
            outcome[:] = [trial]
            if trial.status == TrialStatus.RUNNING:
                return self._claim_of(state, tuner_id, trial.trial_id, self._difference([trial.trial_id]))
            if not self._document.is_plain:
                self._restart()
            if trial.status == TrialStatus.STOPPED:
                if not state.running():
                    return Draft("stop", extra={"reason": incarnations.EXHAUSTED})
                # A running trial may yet be given back, so the search isn't over.
                outcome[:] = [_empty(TrialStatus.IDLE)]
            return None

        self._commit(decide)
        (trial,) = outcome
        self._reports.pop(trial.trial_id, None)
        if trial.status == TrialStatus.RUNNING:
            self._held[tuner_id] = trial.trial_id
            self.oracle.ongoing_trials[tuner_id] = trial
        return trial

    def _claim_of(
        self,
        state: StudyState,
        tuner_id: str,
        trial_id: str,
        patch: Patch,
        about: Mapping[str, Any] = MappingProxyType({}),
    ) -> Draft:
        attempt = state.leases.get(trial_id, {"attempt": 0})["attempt"] + 1
        record = self.oracle.trials[trial_id]
        basis = self.oracle.basis_of(record, state.seq)
        extra = {"lease_s": state.config["lease_s"], "tuner_id": tuner_id, "basis": basis, **about}
        return Draft("claim", trial_id, attempt, patch, extra)

    def _attempt(self, trial_id: str) -> int:
        held = self.study.state.held(self.writer.owner, self.writer.incarnation)
        if trial_id not in held:
            is_open = self.study.state.is_open(self.writer.owner, self.writer.incarnation)
            raise (AttemptLost if is_open else Fenced)(
                f"Trial {trial_id} isn't held by this worker: {self.writer.owner!r} lost it, or never had it."
            )
        return held[trial_id]

    def _commit(self, decide: Callable[[StudyState], Draft | None]) -> None:
        tried = False

        def again(state: StudyState) -> Draft | None:
            nonlocal tried
            if state.generation != self.writer.generation:
                raise Fenced(
                    f"the study was reset (generation {state.generation}, not {self.writer.generation})"
                )
            if tried:
                self._restart()
            tried = True
            # Whatever is decided, the oracle has seen what others committed before.
            self._sync()
            draft = decide(state)
            if draft is not None:
                draft.patch += self.along.patch(state)
                self._document.warn_if_large(draft.patch)
            return draft

        try:
            commit = self.study.commit(self.writer, again)
        except BaseException:
            self._restart()
            raise
        if commit is not None:
            self.along.committed()
            self._synced = self._head()
            if commit["trial"] is not None:
                self.oracle._remember(commit["trial"], self.study.state.trials.get(commit["trial"]))

    def _head(self) -> tuple[int, int]:
        return self.study.state.generation, self.study.state.changed

    def _sync(self) -> None:
        """Sets the oracle to the head where others have changed it."""
        if self._synced == self._head():
            return
        document = self.study.state.document["oracle"]
        # Copied, since an oracle may keep and change what it is given. Records of trials are never changed.
        state = {key: revive(value) for key, value in document.items() if key not in AS_THEY_ARE}
        held = self.study.state.held(self.writer.owner, self.writer.incarnation)
        self._held = {t: i for t, i in self._held.items() if i in held}
        self.oracle.set_state(
            {**state, **{key: document[key] for key in AS_THEY_ARE}, "ongoing_trials": self._held}
        )
        self.oracle.apply_settings(self.study.state.config["oracle"])
        for trial_id in self._reports:
            self._report_again(trial_id)
        self._synced = self._head()

    def _restart(self) -> None:
        """Lets the next `_sync` undo whatever an uncommitted decision did to the oracle."""
        self._synced = None
        self.oracle._remember(None, None)

    def _renew(self, trial_id: str) -> None:
        """Sets one trial to its record, with what was reported of it since."""
        self._sync()
        self.oracle._remember(trial_id, None)
        record = self.study.state.trials[trial_id]
        self.oracle.trials[trial_id] = self.oracle._trial_of(trial_id, record)
        self._report_again(trial_id)

    def _report_again(self, trial_id: str) -> None:
        for metrics, step in self._reports.get(trial_id, []):
            self.oracle._take_metrics(self.oracle.trials[trial_id], metrics, step)

    def _drop_held(self, trial_id: str) -> None:
        self._held = {t: i for t, i in self._held.items() if i != trial_id}

    def _difference(self, trial_ids: Iterable[str]) -> Patch:
        """What a decision about some trials has changed in the oracle."""
        return self._document.difference(self.study.state.document["oracle"], trial_ids)


def _raised(old: Any, new: Any) -> bool:
    """Whether a limit allows more than before; None is no limit."""
    if isinstance(old, bool) or not isinstance(old, (int, float)):
        return False
    return new is None or (isinstance(new, (int, float)) and new > old)


def _empty(status: str) -> Trial:
    return Trial(HyperParameters(), "", status)
