"""Heartbeats: one object per attempt, overwritten by the one process that watches over it."""

from __future__ import annotations

import datetime
import json

from ktcomponent.errors import StorageError
from ktcomponent.storage import Storage
from ktcomponent.study import layout
from ktcomponent.study.state import StudyState

MAX_BYTES = 4096


def beat(storage: Storage, generation: int, trial_id: str, attempt: int, count: int) -> None:
    """Says that the attempt is being watched over.

    Args:
        storage: The study's storage.
        generation: The study's generation.
        trial_id: The trial.
        attempt: Its attempt.
        count: Any number that differs from the last beat's.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    storage.put(
        layout.beat(generation, trial_id, attempt), json.dumps({"count": count, "time": now}).encode()
    )


def count_stale(storage: Storage, state: StudyState) -> int:
    """How many running trials have, by wall clocks, no beat and no claim within their lease.

    For people only: clocks of two machines are never compared to decide anything.
    """
    now = datetime.datetime.now(datetime.UTC)
    stale = 0
    for trial_id, lease in state.running().items():
        seen = [lease["claimed"]]
        try:
            data = storage.get(layout.beat(state.generation, trial_id, lease["attempt"]), MAX_BYTES)
            if data is not None:
                seen.append(json.loads(data)["time"])
            latest = max(datetime.datetime.fromisoformat(t) for t in seen)
        except (StorageError, ValueError, KeyError, TypeError):
            continue
        if (now - latest).total_seconds() > (lease["lease_s"] or 0):
            stale += 1
    return stale
