"""Reading a log entry by entry from its beginning, without snapshots, whether it is sound or not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ktcomponent.errors import CorruptEntry, MissingEntry, StudyError, UnsupportedFormat
from ktcomponent.storage import Storage
from ktcomponent.study import entry as entries
from ktcomponent.study import layout, segments
from ktcomponent.study.state import StudyState, fold

SPAN = 64


@dataclass
class Reading:
    """One entry of a log.

    Attributes:
        n: Its number.
        data: The bytes, None where there are none that can be read.
        entry: What they say, None where that can't be told.
        problem: What is wrong with the object `log/n`, None if nothing.
    """

    n: int
    data: bytes | None
    entry: dict[str, Any] | None
    problem: StudyError | None


def last_number(storage: Storage) -> int:
    """The number of the last entry that is there."""
    return max((n for key in storage.list("log") if (n := number_of(key)) is not None), default=0)


def number_of(key: str) -> int | None:
    """The number of the entry that lies at a key; None for what is no entry."""
    name = key.rsplit("/", 1)[-1].removesuffix(".json")
    return int(name) if len(name) == 20 and name.isdigit() and layout.log(int(name)) == key else None


def read_log(storage: Storage, last: int, first: int = 1) -> Iterator[Reading]:
    """The entries `first` to `last`."""
    for start in range(max(first, 1), last + 1, SPAN):
        numbers = range(start, min(start + SPAN, last + 1))
        stored = storage.get_many([layout.log(n) for n in numbers], entries.MAX_BYTES)
        for n, data in zip(numbers, stored, strict=True):
            yield _read(storage, n, data)


def _read(storage: Storage, n: int, data: bytes | None) -> Reading:
    where = f"{storage.url}/{layout.log(n)}"
    if data is None:
        return Reading(n, None, None, MissingEntry(f"{where} is missing."))
    try:
        return Reading(n, data, entries.decode(data, where), None)
    except CorruptEntry as error:
        return Reading(n, data, None, error)


def from_segment(storage: Storage, n: int, prev_sha256: str) -> Reading | None:
    """Entry `n` as a segment of its block has it, if one does."""
    for size in (segments.SMALL, segments.LARGE):
        part = segments.around(n, size)
        lines = segments.decode(storage.get(part.key, segments.MAX_BYTES), part)
        if lines is not None and lines[n - part.first][1].get("prev_sha256") == prev_sha256:
            return Reading(n, *lines[n - part.first], None)
    return None


def fold_next(state: StudyState, reading: Reading) -> StudyError | None:
    """Folds the next entry into the state; what is wrong with it, if anything, and then the state is unusable."""
    if reading.data is None or reading.entry is None:
        return reading.problem
    try:
        fold(state, reading.entry, hashlib.sha256(reading.data).hexdigest())
    except StudyError as error:
        return error
    except UnsupportedFormat as error:
        return CorruptEntry(str(error))
    return None
