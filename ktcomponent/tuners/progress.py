"""One line a trial, for a person who follows a log."""

from __future__ import annotations

import sys
import time

from ktcomponent.oracles.oracle import Oracle
from ktcomponent.trial import Trial, TrialStatus


class Progress:
    """Writes lines to standard output, without control characters.

    Args:
        oracle: The search's oracle.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._began = time.monotonic()

    def trial_begins(self) -> None:
        self._began = time.monotonic()

    def trial_ended(self, trial: Trial) -> None:
        """For example: `trial 7 of 12: units=64, lr=0.001 -> val_accuracy 0.9611, best 0.97 (trial 5), 8.1 s, 5 left`."""
        objective = self._oracle.objective.name
        planned = self._oracle.planned_trials()
        number = (trial.number or 0) + 1
        parts = []
        if trial.status == TrialStatus.COMPLETED and trial.score is not None:
            parts.append(f"{objective} {trial.score:.5g}")
        else:
            parts.append(f"{trial.status}: {last_line(trial.message)}")
        completed = [t for t in self._oracle.get_best_trials() if t.score is not None]
        if completed:
            parts.append(f"best {completed[0].score:.5g} (trial {(completed[0].number or 0) + 1})")
        parts.append(f"{time.monotonic() - self._began:.1f} s")
        if planned is not None:
            parts.append(f"{max(planned - len(self._oracle.end_order), 0)} left")
        of = "" if planned is None else f" of {planned}"
        say(f"trial {number}{of}: {values_text(trial)} -> {', '.join(parts)}")


def say(line: str) -> None:
    """Prints a line at once."""
    print(line, flush=True)  # noqa: T201
    sys.stdout.flush()


def values_text(trial: Trial) -> str:
    """The trial's values as `name=value`, numbers shortened."""
    values = trial.hyperparameters.values
    return ", ".join(f"{name}={short(value)}" for name, value in values.items()) or "no hyperparameters"


def short(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def last_line(message: str | None) -> str:
    lines = [line for line in (message or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"
