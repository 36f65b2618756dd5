"""`ktcomponent study history`: who did what, when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ktcomponent.maintenance.reading import last_number, read_log
from ktcomponent.storage import Storage
from ktcomponent.study.study import Study

COLUMNS = ("commit", "time", "owner", "what", "trial", "attempt", "details")


def history(storage: Storage, last: int | None = None) -> Iterator[dict[str, Any]]:
    """The commits of a study, oldest first.

    Args:
        storage: The study's storage.
        last: Only so many of the newest.

    Raises:
        StudyNotFound: If there is none.
        StudyError: If an entry can't be read.
    """
    Study.open(storage)
    end = last_number(storage)
    for reading in read_log(storage, end, 1 if last is None else end - last + 1):
        if reading.entry is None:
            raise reading.problem or AssertionError
        entry = reading.entry
        yield {
            "commit": entry["seq"],
            "time": entry["time"],
            "owner": entry["writer"]["owner"],
            "incarnation": entry["writer"]["incarnation"],
            "software": entry["writer"]["software"],
            "what": entry["op"],
            "trial": entry["trial"],
            "attempt": entry["attempt"],
            "details": _details(entry),
        }


def row(told: dict[str, Any]) -> tuple[str, ...]:
    """One commit as a row of a table."""
    return tuple("" if told[name] is None else str(told[name]) for name in COLUMNS)


def _details(entry: dict[str, Any]) -> str:
    """What is particular to the operation, in a few words."""
    parts = []
    if "reason" in entry:
        parts.append(str(entry["reason"]))
    if entry.get("reopen"):
        parts.append("reopens the search")
    if entry["op"] == "finish":
        changed = {tuple(change[1][3:]): change[2] for change in entry["patch"] if change[0] == "set"}
        parts += [str(changed[(name,)]) for name in ("status", "score") if changed.get((name,)) is not None]
    if entry["op"] == "enqueue":
        parts.append(", ".join(f"{name}={value}" for name, value in entry["values"].items()))
    if entry.get("files"):
        parts.append(f"{len(entry['files'])} files")
    return ", ".join(parts)
