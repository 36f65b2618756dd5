"""How far a search is, for a person who watches it or follows its log."""

from __future__ import annotations

import statistics
import time

from ktcomponent.console import duration, is_terminal, last_line, say, short, show_progress, show_table
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.trial import Trial, TrialStatus


class Progress:
    """Tells of each trial: a line when it ends; in a terminal also its values as it begins, and a bar.

    Args:
        oracle: The search's oracle.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._began = time.monotonic()
        self._durations: list[float] = []

    def trial_begins(self, trial: Trial) -> None:
        self._began = time.monotonic()
        if is_terminal():
            best = self._best()
            of_best = best.hyperparameters.values if best is not None else {}
            rows = [
                (name, short(value), short(of_best.get(name, "-")))
                for name, value in trial.hyperparameters.values.items()
            ]
            show_table(
                ("hyperparameter", "value", "best so far"),
                rows,
                f"Trial {trial.trial_id}{self._position(trial)}",
            )

    def trial_ended(self, trial: Trial) -> None:
        """For example: `trial 7 of 12: units=64, lr=0.001 -> val_accuracy 0.9611, best 0.97 (trial 5), 8.1 s, 5 left (40.5 s)`."""
        objective = self._oracle.objective.name
        took = time.monotonic() - self._began
        self._durations.append(took)
        parts = []
        if trial.status == TrialStatus.COMPLETED and trial.score is not None:
            parts.append(f"{objective} {trial.score:.5g}")
            if trial.stopped is not None:
                parts.append(f"ended early after {trial.stopped} steps")
        else:
            parts.append(f"{trial.status}: {last_line(trial.message)}")
        best = self._best()
        if best is not None:
            parts.append(f"best {best.score:.5g} (trial {(best.number or 0) + 1})")
        parts.append(duration(took))
        planned, ended = self._oracle.planned_trials(), len(self._oracle.end_order)
        if planned is not None:
            left = max(planned - ended, 0)
            parts.append(f"{left} left ({self._time_left(left)})" if left else "0 left")
        say(f"trial{self._position(trial)}: {values_text(trial)} -> {', '.join(parts)}")
        if is_terminal():
            notes = [] if best is None else [f"best {best.score:.5g}"]
            if planned is not None and planned > ended:
                notes.append(f"about {self._time_left(planned - ended)} left")
            show_progress(ended, planned, notes)

    def _position(self, trial: Trial) -> str:
        planned = self._oracle.planned_trials()
        return f" {(trial.number or 0) + 1}" + ("" if planned is None else f" of {planned}")

    def _time_left(self, trials: int) -> str:
        """What that many trials take one after another, going by the last ten here."""
        return duration(trials * statistics.fmean(self._durations[-10:]))

    def _best(self) -> Trial | None:
        best = self._oracle._rank()
        return best[0] if best and best[0].score is not None else None


def values_text(trial: Trial) -> str:
    """The trial's values as `name=value`, numbers shortened."""
    values = trial.hyperparameters.values
    return ", ".join(f"{name}={short(value)}" for name, value in values.items()) or "no hyperparameters"
