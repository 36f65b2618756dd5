"""What became of the tries of an owner: of each step that it ran, read from the log.

A retry can't tell a trial that takes long from a machine that is killed over and over. The log can.
"""

from __future__ import annotations

from dataclasses import dataclass

from ktcomponent.maintenance.reading import last_number, read_log
from ktcomponent.storage import Storage

WINDOW = 5000
"""Only so many of the newest commits are looked at."""


@dataclass
class Try:
    """One step of an owner.

    Attributes:
        finished: How many trials it finished, completed or failed.
        was_told: Whether it gave back what it held because it was told to end, as preemption does.
    """

    finished: int = 0
    was_told: bool = False


def tries_of(storage: Storage, owner: str) -> list[Try]:
    """The steps of an owner that opened an incarnation, oldest first.

    A step that ended before (it could not import its user code, say) left no trace.

    Raises:
        StorageError: If the log can't be read.
    """
    tries: list[Try] = []
    end = last_number(storage)
    for reading in read_log(storage, end, end - WINDOW + 1):
        entry = reading.entry
        if entry is None or entry["writer"]["owner"] != owner:
            continue
        if entry["op"] == "takeover" and not entry["restart"]:
            tries.append(Try())
        elif tries and entry["op"] == "finish":
            tries[-1].finished += 1
        elif tries and entry["op"] == "giveback":
            tries[-1].was_told = bool(entry.get("told"))
    return tries


def fruitless(tries: list[Try]) -> int:
    """How many of the last tries in a row finished no trial although nobody told them to end."""
    count = 0
    for last in reversed(tries):
        if last.finished or last.was_told:
            break
        count += 1
    return count
