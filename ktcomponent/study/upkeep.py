"""Removing what nobody reads any more: old snapshots and segments, beats of attempts that are over, leftovers.

Only what can't come back is removed: an attempt that is over in one view of the log is over in every later one,
so it does no harm that the view may be old. Entries of the log are never removed.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ktcomponent.storage import Storage
from ktcomponent.storage.probe import FOLDER as PROBES
from ktcomponent.storage.probe import is_left_over
from ktcomponent.study import layout, segments, snapshots
from ktcomponent.study.state import StudyState

COMMITS_KEPT = 1024
"""The segments of so many stay at least, for workers that come back from a long trial."""


def tidy(storage: Storage, state: StudyState) -> list[str]:
    """What follows every snapshot: all but the newest three go, with the segments and beats that nobody needs.

    Returns:
        The keys that were removed.
    """
    found = storage.side_by_side(
        [
            lambda: storage.list(snapshots.FOLDER),
            lambda: storage.list(segments.FOLDER),
            lambda: storage.list("beats"),
        ]
    )
    unneeded = outdated(found[0], found[1], found[2], state)
    storage.side_by_side([functools.partial(storage.delete, key) for key in unneeded])
    return unneeded


def outdated(
    snapshot_keys: Iterable[str], segment_keys: Iterable[str], beat_keys: Iterable[str], state: StudyState
) -> list[str]:
    """Old snapshots, the segments before the oldest that stays, small ones of which there are large ones, and the
    beats of attempts that are over."""
    keys = list(snapshot_keys)
    old = snapshots.outdated(keys)
    kept = [snapshots.place_of(key) or 0 for key in snapshots.newest_first(keys) if key not in old]
    away = state.seq - COMMITS_KEPT
    oldest = min(*kept, away) if len(kept) >= snapshots.KEPT else 0
    sealed = segments.of_keys(segment_keys)
    leases = {layout.safe(trial_id): lease for trial_id, lease in state.leases.items()}
    covered = [
        key
        for part, key in sealed.items()
        if part.last <= oldest
        or (part.last <= away and segments.around(part.first, segments.LARGE) in sealed.keys() - {part})
    ]
    return [*old, *covered, *(key for key in beat_keys if _is_over(key, state.generation, leases))]


def garbage(storage: Storage, state: StudyState) -> list[str]:
    """Everything `gc` removes: what `tidy` does, probes, and the files of attempts that nothing refers to."""
    keys = storage.list("")
    by_folder: dict[str, list[str]] = {}
    for key in keys:
        by_folder.setdefault(key.split("/", 1)[0], []).append(key)
    snapshot_keys, segment_keys, beat_keys = (
        by_folder.get(folder, []) for folder in (snapshots.FOLDER, segments.FOLDER, "beats")
    )
    leases = {layout.safe(trial_id): lease for trial_id, lease in state.leases.items()}
    listed = {
        layout.attempt_file(state.generation, trial_id, lease["attempt"], file["name"])
        for trial_id, lease in state.leases.items()
        for file in lease.get("files", [])
    }
    files = [
        key
        for key in by_folder.get("trials", [])
        if key not in listed and _has_ended(key, state.generation, leases)
    ]
    return [
        *outdated(snapshot_keys, segment_keys, beat_keys, state),
        *filter(is_left_over, by_folder.get(PROBES, [])),
        *files,
    ]


def exported_trials(storage: Storage) -> set[str]:
    """The trials whose models an export in the study's own folder holds."""
    held: set[str] = set()
    for key in storage.list("exports"):
        if key.endswith("/manifest.json") and (data := storage.get(key, 16 * 1024 * 1024)) is not None:
            try:
                manifest = json.loads(data)
                held |= {str(manifest["trial"]), *(str(model["trial"]) for model in manifest["models"])}
            except (ValueError, KeyError, TypeError):
                continue
    return held


def _place(key: str) -> tuple[str, int, int] | None:
    """(the trial's folder, generation, attempt) of a beat or of a file of an attempt."""
    parts = key.split("/")
    if len(parts) < 3:
        return None
    generation, dash, attempt = parts[2].removesuffix(".json").partition("-")
    if not (dash and generation.isdigit() and attempt.isdigit()):
        return None
    return parts[1], int(generation), int(attempt)


def _is_over(key: str, now: int, leases: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the attempt that a key belongs to will never run again; `now` is the generation."""
    place = _place(key)
    if place is None or place[1] > now:
        return False
    trial, generation, attempt = place
    lease = leases.get(trial)
    if generation < now:
        return True
    if lease is None or attempt > lease["attempt"]:
        return False
    return bool(attempt < lease["attempt"] or lease["state"] != "running")


def _has_ended(key: str, now: int, leases: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a file belongs to a trial of this generation that has ended, or to an attempt before its end."""
    place = _place(key)
    if place is None or place[1] != now:
        return False  # what was reset keeps its files
    lease = leases.get(place[0])
    return bool(lease is not None and lease["state"] == "ended" and place[2] <= lease["attempt"])
