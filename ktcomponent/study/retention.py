"""`keep_checkpoints`: the checkpoints of all but the best trials go, by a commit first and from storage then."""

from __future__ import annotations

import functools
from collections.abc import Container

from ktcomponent.errors import Refused
from ktcomponent.study import layout, upkeep
from ktcomponent.study.ranking import best_trials
from ktcomponent.study.state import StudyState
from ktcomponent.study.study import Draft, Study, Writer


def surplus(state: StudyState, needed: Container[str], stay: Container[str]) -> list[str]:
    """Trials whose checkpoints are kept without need: ended, not among the best, and needed by nobody.

    Args:
        state: The study's state.
        needed: Trials that the oracle or an export still needs.
        stay: Names of small files that stay in any case.
    """
    keep = state.config.get("keep_checkpoints")
    if not isinstance(keep, int):
        return []
    best = set(best_trials(state)[:keep])
    return [
        trial_id
        for trial_id, lease in state.leases.items()
        if lease["state"] == "ended"
        and any(file["name"] not in stay for file in lease.get("files", []))
        and trial_id not in best
        and trial_id not in needed
    ]


def drop_surplus(study: Study, writer: Writer, needed: set[str], stay: Container[str]) -> list[str]:
    """Gives up the checkpoints that `keep_checkpoints` doesn't keep.

    Args:
        study: The study, at its head.
        writer: Who.
        needed: Trials that the oracle still needs.
        stay: Names of small files that stay in any case.

    Returns:
        The trials.
    """
    found = surplus(study.state, needed, stay)
    if found:
        needed = needed | upkeep.exported_trials(study.storage)
        found = surplus(study.state, needed, stay)
    return [trial_id for trial_id in found if drop(study, writer, trial_id, needed, stay)]


def drop(study: Study, writer: Writer, trial_id: str, needed: set[str], stay: Container[str]) -> bool:
    """Commits that a trial's files are given up, and removes them; False where they are not to be."""
    names: list[str] = []

    def decide(state: StudyState) -> Draft | None:
        if trial_id not in surplus(state, needed, stay):
            return None
        lease = state.leases[trial_id]
        names[:] = [file["name"] for file in lease["files"] if file["name"] not in stay]
        return Draft("drop", trial_id, lease["attempt"], extra={"files": list(names)})

    try:
        commit = study.commit(writer, decide)
    except Refused:
        return False
    if commit is None:
        return False
    folder = layout.attempt_folder(commit["generation"], trial_id, commit["attempt"])
    study.storage.side_by_side(
        [functools.partial(study.storage.delete, f"{folder}/{name}") for name in names]
    )
    return True
