"""`FollowerLedger`: for the workers of one multi-worker training that are not its chief."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ktcomponent.errors import StudyNotFound
from ktcomponent.storage import Storage
from ktcomponent.study.ledger import StudyLedger
from ktcomponent.study.study import Study
from ktcomponent.trial import Trial, TrialStatus


class FollowerLedger(StudyLedger):
    """Runs what the chief of the same `tuner_id` runs, and commits nothing.

    Args:
        ledger: What the oracle was bound to.
    """

    def __init__(self, ledger: StudyLedger) -> None:
        super().__init__(ledger.study, ledger.oracle, ledger.writer)
        self._followed: tuple[str, int] | None = None

    def create_trial(self, tuner_id: str, method: Callable[[], Trial]) -> Trial:
        """The chief's running trial, once; IDLE until there is another one, STOPPED at the end."""
        del method
        self.refresh()
        state = self.study.state
        for trial_id, lease in state.running().items():
            attempt = trial_id, lease["attempt"]
            if lease.get("tuner_id") == tuner_id and attempt != self._followed:
                self._followed = attempt
                self._renew(trial_id)
                trial = self.oracle.trials[trial_id]
                trial.status = TrialStatus.RUNNING
                return trial
        is_over = state.stop is not None and not state.running()
        return Trial(self.oracle.get_space(), "", TrialStatus.STOPPED if is_over else TrialStatus.IDLE)

    def update_trial(
        self, trial_id: str, metrics: dict[str, Any], step: int, method: Callable[[], Trial]
    ) -> Trial:
        del metrics, step
        return method() if trial_id in self.oracle.trials else Trial(self.oracle.get_space(), trial_id)

    def should_stop(self, trial_id: str, step: int, method: Callable[[], bool]) -> bool:
        del trial_id, step, method
        return False

    def end_trial(self, trial: Trial, method: Callable[[Trial], None]) -> None:
        del trial, method

    def update_space(self, method: Callable[[], None]) -> None:
        del method

    def stop(self, reason: str, failures: bool = False) -> None:
        del reason, failures

    def flush(self) -> None:
        pass

    def go_on_after_failures(self) -> None:
        pass


def wait_for_study(storage: Storage, timeout_s: float = 600.0) -> None:
    """Waits until the chief has created the study.

    Raises:
        StudyNotFound: If it has not within `timeout_s` seconds.
    """
    end = time.monotonic() + timeout_s
    while Study.find(storage) is None:
        if time.monotonic() >= end:
            raise StudyNotFound(
                f"There is no study at {storage.url} after {timeout_s:g} s. Does the job's chief run?"
            )
        time.sleep(0.2)
