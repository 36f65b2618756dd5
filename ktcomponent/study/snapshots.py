"""Snapshots: the folded state after some commit, so that opening a study doesn't read the whole log.

A snapshot is never trusted further than it can be checked: its name holds the SHA-256 of its bytes, and it
says which commit it follows and that commit's SHA-256. One that doesn't fit is as good as none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json

from ktcomponent.errors import StorageError
from ktcomponent.storage import Storage
from ktcomponent.study import entry as entries
from ktcomponent.study import layout
from ktcomponent.study.state import FOLD_VERSION, StudyState

SPACING = 50


def is_due(n: int) -> bool:
    """Whether a snapshot follows commit `n`: every 50 commits at first, then every quarter of the log.

    All writers agree on the places, and what snapshots cost per commit stays bounded.
    """
    point = SPACING
    while point < n:
        point += max(SPACING, point // 4)
    return point == n


def save(storage: Storage, state: StudyState) -> None:
    """Writes the snapshot of `state`; a failure costs readers time and nothing else."""
    snapshot = {"format": layout.FORMAT, "fold": FOLD_VERSION, "state": dataclasses.asdict(state)}
    data = entries.dumps(snapshot).encode()
    try:
        storage.put_if_absent(layout.snapshot(state.seq, hashlib.sha256(data).hexdigest()), data)
    except StorageError:
        return


def load(storage: Storage, study_id: str) -> StudyState | None:
    """The newest snapshot that can be verified, or None."""
    for key in reversed(storage.list("snapshots")):
        data = storage.get(key)
        name = key.rsplit("/", 1)[-1].removesuffix(".json")
        if data is None or hashlib.sha256(data).hexdigest() != name.partition("-")[2]:
            continue
        try:
            snapshot = json.loads(data)
            if (snapshot["format"], snapshot["fold"]) != (layout.FORMAT, FOLD_VERSION):
                continue
            state = StudyState(**snapshot["state"])
        except (ValueError, KeyError, TypeError):
            continue
        last = storage.get(layout.log(state.seq))
        if last is None or state.study_id != study_id:
            continue
        if hashlib.sha256(last).hexdigest() == state.last_sha256:
            return state
    return None
