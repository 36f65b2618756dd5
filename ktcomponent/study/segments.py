"""Segments: verbatim copies of whole blocks of the log, so that catching up takes one request a block.

There are small ones for who follows closely, and large ones for who was away or opens a long log. Entries are lines, so
a segment is the lines of its block one after another. Nothing new is said by it: the chain of hashes runs through
a segment as it does through the entries, and one that doesn't fit is as good as none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ktcomponent.errors import CorruptEntry
from ktcomponent.study import entry as entries
from ktcomponent.study import layout

ENTRY, SMALL, LARGE = 1, 8, 64
"""Sizes in commits; a part of size one is the entry itself. Blocks are aligned: the first begins at commit 1."""
MAX_BYTES = entries.MAX_BYTES
"""What would be larger is left to be read entry by entry."""
FOLDER = "segments"
_KEY = re.compile(rf"(?:.*/)?{FOLDER}/(\d{{1,3}})/(\d{{20}})\.jsonl")

Line = tuple[bytes, dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """A part of the log that one object holds: a segment, or an entry.

    Attributes:
        first: Its first commit.
        size: How many it has.
    """

    first: int
    size: int

    @property
    def last(self) -> int:
        return self.first + self.size - 1

    @property
    def key(self) -> str:
        return layout.log(self.first) if self.size == ENTRY else layout.segment(self.first, self.size)


def around(n: int, size: int) -> Part:
    """The part of a size that commit `n` is in."""
    return Part(n - (n - 1) % size, size)


def ending_at(n: int) -> list[Part]:
    """The segments whose last commit is `n`."""
    return [around(n, size) for size in (SMALL, LARGE) if n % size == 0]


def covering(first: int, last: int, usable: Callable[[Part], bool]) -> list[Part]:
    """The parts from which the commits `first` to `last` are read with the fewest requests.

    None goes beyond `last`; a segment is taken where it saves more than the smaller ones would.
    """
    parts: list[Part] = []
    while first <= last:
        for size in (LARGE, SMALL, ENTRY):
            part = around(first, size)
            new = part.last + 1 - first
            if size == ENTRY or (part.last <= last and new > size // SMALL and usable(part)):
                break
        parts.append(part)
        first = part.last + 1
    return parts


def of_keys(keys: Iterable[str]) -> dict[Part, str]:
    """The segments that keys name; other keys are left out."""
    found = ((key, _KEY.fullmatch(key)) for key in keys)
    named = {Part(int(match[2]), int(match[1])): key for key, match in found if match}
    return {p: key for p, key in named.items() if p.size in (SMALL, LARGE) and p == around(p.first, p.size)}


def encode(stored: Sequence[bytes]) -> bytes:
    """The segment of a whole block's entries as they are stored."""
    return b"".join(stored)


def decode(data: bytes | None, segment: Part) -> list[Line] | None:
    """The block's stored entries, each with what it says; None where this is not that block's segment."""
    lines = [] if data is None or len(data) > MAX_BYTES else data.splitlines(keepends=True)
    if len(lines) != segment.size:
        return None
    found: list[Line] = []
    for n, line in enumerate(lines, start=segment.first):
        try:
            entry = entries.decode(line, layout.log(n))
        except CorruptEntry:
            return None
        if entry.get("seq") != n:
            return None
        found.append((line, entry))
    return found
