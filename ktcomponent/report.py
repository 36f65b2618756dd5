"""What a study looks like from outside: the status object, and its text."""

from __future__ import annotations

from typing import Any

from ktcomponent.console import is_terminal, last_line, say, show_table
from ktcomponent.oracles.registry import BUILT_IN
from ktcomponent.study import Study, beats
from ktcomponent.study.binding import kept_oracle
from ktcomponent.study.ranking import best_trials
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
        "chosen": state.config.get("chosen"),
        "trials": {
            "completed": statuses.count(TrialStatus.COMPLETED),
            "failed": statuses.count(TrialStatus.FAILED),
            "running": len(running),
            "stale": beats.count_stale(study.storage, state),
            "waiting": sum(lease["state"] in ("free", "retry") for lease in state.leases.values()),
            "total": len(state.trials),
            "planned": _planned(state),
        },
        "last_failure": _last_failure(state),
        "best": {
            "trial_id": best[0],
            "score": state.trials[best[0]]["score"],
            "values": state.trials[best[0]]["values"],
        }
        if best
        else None,
    }


def summary(told: dict[str, Any]) -> dict[str, Any]:
    """The few figures of a status that others pass on: `{"study", "status", "completed", "failed", "best_score"}`."""
    best = told["best"]
    return {
        "study": told["study"],
        "status": told["status"],
        "completed": told["trials"]["completed"],
        "failed": told["trials"]["failed"],
        "best_score": best["score"] if best else None,
    }


def status_lines(told: dict[str, Any]) -> list[tuple[str, str]]:
    """The status as pairs of a name and a text."""
    trials = told["trials"]
    planned = "" if trials["planned"] is None else f" of {trials['planned']} planned"
    reason = f" ({told['stop']['reason']})" if told["stop"] else ""
    lines = [
        ("study", told["study"]),
        ("oracle", _oracle_line(told)),
        ("status", f"{told['status']}{reason}, commit {told['commit']}, generation {told['generation']}"),
        (
            "trials",
            f"{trials['total']}{planned}: {trials['completed']} completed, {trials['failed']} failed, "
            f"{trials['running']} running ({trials['stale']} stale), {trials['waiting']} waiting",
        ),
    ]
    if told["best"] is not None:
        values = ", ".join(f"{name}={value}" for name, value in told["best"]["values"].items())
        lines.append(("best", f"{told['best']['score']:.6g} (trial {told['best']['trial_id']}): {values}"))
    failure = told["last_failure"]
    if failure is not None:
        lines.append(("failure", f"trial {failure['trial_id']}: {last_line(failure['message'])}"))
        lines += [("", f"    {line}") for line in (failure["message"] or "").rstrip().splitlines()]
    return lines


def _oracle_line(told: dict[str, Any]) -> str:
    chosen = f" (chosen: {told['chosen']})" if told["chosen"] else ""
    return f"{told['oracle']['class']}{chosen}"


def show_status(told: dict[str, Any]) -> None:
    """Prints the status for a person: a table in a terminal, lines elsewhere."""
    lines = status_lines(told)
    if is_terminal():
        show_table(("", ""), [(name, text) for name, text in lines])
        return
    for name, text in lines:
        say(f"{name:<9} {text}" if name else text)


def _last_failure(state: StudyState) -> dict[str, Any] | None:
    """The trial that failed last, with its traceback."""
    failed = {
        i: t for i, t in state.trials.items() if t["status"] in (TrialStatus.FAILED, TrialStatus.INVALID)
    }
    if not failed:
        return None
    trial_id = max(failed, key=lambda i: (failed[i]["ended"] or -1, failed[i]["number"]))
    return {"trial_id": trial_id, "message": failed[trial_id]["message"]}


def _planned(state: StudyState) -> int | None:
    kept = state.config["oracle"]
    return kept_oracle(state).planned_trials() if kept["class"] in BUILT_IN else kept.get("max_trials")
