"""Snapshots: the folded state after some commit, so that opening a study doesn't read the whole log.

A snapshot is never trusted further than it can be checked: its name holds the SHA-256 of its bytes, and it
says which commit it follows and that commit's SHA-256. One that doesn't fit is as good as none.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from ktcomponent.storage import Storage
from ktcomponent.study import entry as entries
from ktcomponent.study import layout
from ktcomponent.study.segments import LARGE
from ktcomponent.study.state import FOLD_VERSION, StudyState

FOLDER = "snapshots"
SPACING = LARGE
SHARE = 8
KEPT = 3
MAX_BYTES = 1024 * 1024 * 1024
_NAME = re.compile(r"(\d{20})-([0-9a-f]{64})\.json")


def spacing(n: int) -> int:
    """How many commits lie between two snapshots around commit `n`: an eighth of the log, in whole blocks of
    segments.

    So all snapshots of a study together weigh at most nine times the last one, and what follows the newest is
    never more than an eighth of the log.
    """
    return max(SPACING, n // SHARE // SPACING * SPACING)


def is_due(n: int) -> bool:
    """Whether a snapshot follows commit `n`; all writers agree on the places."""
    point = SPACING
    while point < n:
        point += spacing(point)
    return point == n


def encode(state: StudyState) -> tuple[str, bytes]:
    """The key and the bytes of a state's snapshot."""
    snapshot = {"format": layout.FORMAT, "fold": FOLD_VERSION, "state": state.to_json()}
    data = json.dumps(snapshot, separators=(",", ":"), allow_nan=False).encode()
    return layout.snapshot(state.seq, hashlib.sha256(data).hexdigest()), data


def place_of(key: str) -> int | None:
    """The commit that the snapshot of this key follows, None for other keys."""
    match = _NAME.fullmatch(key.rsplit("/", 1)[-1])
    return int(match[1]) if match else None


def newest_first(keys: Iterable[str]) -> list[str]:
    return sorted((key for key in keys if place_of(key) is not None), reverse=True)


def outdated(keys: Iterable[str]) -> list[str]:
    """The snapshots beside the newest three."""
    found = newest_first(keys)
    places = sorted({place_of(key) or 0 for key in found}, reverse=True)[:KEPT]
    return [key for key in found if place_of(key) not in places]


def decode(key: str, data: bytes | None, study_id: str) -> StudyState | None:
    """The state of a snapshot whose bytes are what its name says; None for any other.

    Whether it follows the log is for `follows` to say.
    """
    match = _NAME.fullmatch(key.rsplit("/", 1)[-1])
    if data is None or match is None or hashlib.sha256(data).hexdigest() != match[2]:
        return None
    try:
        snapshot: dict[str, Any] = json.loads(data)
        if (snapshot["format"], snapshot["fold"]) != (layout.FORMAT, FOLD_VERSION):
            return None
        state = StudyState(**snapshot["state"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return state if (state.study_id, state.seq) == (study_id, int(match[1])) else None


def follows(state: StudyState, stored: bytes | None) -> bool:
    """Whether a snapshot's state follows the entry that is stored under its number."""
    return stored is not None and hashlib.sha256(stored).hexdigest() == state.last_sha256


def load(storage: Storage, keys: Iterable[str], study_id: str) -> StudyState | None:
    """The newest snapshot that can be verified, or None."""
    for key in newest_first(keys):
        n = place_of(key) or 0
        read = functools.partial
        data, last = storage.side_by_side(
            [
                read(storage.get, key, MAX_BYTES),
                read(storage.get, layout.log(n), entries.MAX_BYTES),
            ]
        )
        state = decode(key, data, study_id)
        if state is not None and follows(state, last):
            return state
    return None
