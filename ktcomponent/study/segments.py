"""Segments: verbatim copies of whole blocks of the log, so that catching up takes one request a block.

Entries are lines, so a segment is the lines of its block one after another. Nothing new is said by it: the
chain of hashes runs through a segment as it does through the entries, and one that doesn't fit is as good as none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ktcomponent.errors import CorruptEntry
from ktcomponent.study import entry as entries
from ktcomponent.study import layout

BLOCK = 8
MAX_BYTES = BLOCK * entries.MAX_BYTES
FOLDER = "segments"

Line = tuple[bytes, dict[str, Any]]


def first_of(n: int) -> int:
    """The first commit of the block that commit `n` is in."""
    return n - (n - 1) % BLOCK


def ends_block(n: int) -> bool:
    return n % BLOCK == 0


def number_of(key: str) -> int | None:
    """The first commit of the segment that a key names, None for other keys."""
    name = key.rsplit("/", 1)[-1].removesuffix(".jsonl")
    return int(name) if name.isdigit() else None


def encode(stored: Sequence[bytes]) -> bytes:
    """The segment of a whole block's entries as they are stored."""
    return b"".join(stored)


def decode(data: bytes, first: int) -> list[Line] | None:
    """The block's stored entries, each with what it says; None where this is not that block's segment."""
    lines = data.splitlines(keepends=True)
    if len(data) > MAX_BYTES or len(lines) != BLOCK:
        return None
    found: list[Line] = []
    for n, line in enumerate(lines, start=first):
        try:
            entry = entries.decode(line, layout.log(n))
        except CorruptEntry:
            return None
        if entry.get("seq") != n:
            return None
        found.append((line, entry))
    return found
