"""Which trials of a study are the best."""

from __future__ import annotations

from ktcomponent.objective import create_objective
from ktcomponent.study.state import StudyState
from ktcomponent.trial import TrialStatus


def best_trials(state: StudyState) -> list[str]:
    """Ids of the completed trials, best first."""
    objective = create_objective(state.config["oracle"]["objective"])
    sign = objective.sign
    completed = {i: t for i, t in state.trials.items() if t["status"] == TrialStatus.COMPLETED}
    return sorted(completed, key=lambda i: (sign * float(completed[i]["score"]), completed[i]["number"]))
