"""What a study looks like from outside: the status object, and its text."""

from __future__ import annotations

from typing import Any

from ktcomponent.export import best_trials
from ktcomponent.oracles.registry import BUILT_IN
from ktcomponent.study import Study, beats
from ktcomponent.study.binding import kept_oracle
from ktcomponent.study.state import StudyState
from ktcomponent.trial import TrialStatus


def status(study: Study) -> dict[str, Any]:
    """The state of a search in one JSON object.

    `stale` counts running trials without a sign of life within their lease, by wall clocks; it is
    information, part of `running`, and never a reason to take a trial away.
    """
    state = study.state
    statuses = [trial["status"] for trial in state.trials.values()]
    best = best_trials(state)
    running = state.running()
    return {
        "study": study.url,
        "study_id": state.study_id,
        "commit": state.seq,
        "generation": state.generation,
        "status": "done" if state.stop is not None and not running else "running",
        "stop": state.stop,
        "oracle": state.config["oracle"],
        "trials": {
            "completed": statuses.count(TrialStatus.COMPLETED),
            "failed": statuses.count(TrialStatus.FAILED),
            "running": len(running),
            "stale": beats.count_stale(study.storage, state),
            "waiting": sum(lease["state"] in ("free", "retry") for lease in state.leases.values()),
            "total": len(state.trials),
            "planned": _planned(state),
        },
        "best": {
            "trial_id": best[0],
            "score": state.trials[best[0]]["score"],
            "values": state.trials[best[0]]["values"],
        }
        if best
        else None,
    }


def status_text(told: dict[str, Any]) -> str:
    """The status for a person."""
    trials = told["trials"]
    planned = "" if trials["planned"] is None else f" of {trials['planned']} planned"
    reason = f" ({told['stop']['reason']})" if told["stop"] else ""
    lines = [
        f"study     {told['study']}",
        f"status    {told['status']}{reason}, commit {told['commit']}, generation {told['generation']}",
        f"trials    {trials['total']}{planned}: {trials['completed']} completed, {trials['failed']} failed, "
        f"{trials['running']} running ({trials['stale']} stale), {trials['waiting']} waiting",
    ]
    if told["best"] is not None:
        values = ", ".join(f"{name}={value}" for name, value in told["best"]["values"].items())
        lines.append(f"best      {told['best']['score']:.6g} (trial {told['best']['trial_id']}): {values}")
    return "\n".join(lines)


def _planned(state: StudyState) -> int | None:
    kept = state.config["oracle"]
    return kept_oracle(state).planned_trials() if kept["class"] in BUILT_IN else kept.get("max_trials")
