"""`Sealer`: writes the segments of blocks that a process has seen whole."""

from __future__ import annotations

import collections
from collections.abc import Collection

from ktcomponent.storage import Storage
from ktcomponent.study import segments
from ktcomponent.study.segments import Part

MOST_LEFT = 16
"""So many blocks that others left unsealed are sealed, the last ones."""


class Sealer:
    """Remembers the last entries as they are stored, and seals blocks.

    Args:
        storage: The study's storage.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._entries: collections.deque[bytes] = collections.deque(maxlen=segments.LARGE)
        self._bytes = 0
        self._last = 0
        self._unsealed: dict[Part, bytes] = {}

    def add(self, n: int, data: bytes, sealed: Collection[Part] | None = None) -> None:
        """Takes the next entry.

        Args:
            n: Its number.
            data: It, as it is stored.
            sealed: While a study is opened: the segments there are. Blocks without one are sealed later.
        """
        if n != self._last + 1:
            self._entries.clear()
            self._bytes = 0
        if len(self._entries) == segments.LARGE:
            self._bytes -= len(self._entries[0])
        self._entries.append(data)
        self._bytes += len(data)
        while self._bytes > segments.MAX_BYTES:
            self._bytes -= len(self._entries.popleft())
        self._last = n
        if sealed is not None:
            for segment in segments.ending_at(n):
                if segment not in sealed and (block := self._block(segment)) is not None:
                    self._unsealed[segment] = block
            while len(self._unsealed) > MOST_LEFT:
                del self._unsealed[next(iter(self._unsealed))]

    def forget(self, n: int) -> None:
        """Leaves the blocks that end behind commit `n` to who made them."""
        self._unsealed = {segment: block for segment, block in self._unsealed.items() if segment.last <= n}

    def seal(self) -> None:
        """After a commit of this process: seals the blocks that it ended, and those that others left."""
        for segment in segments.ending_at(self._last):
            if (block := self._block(segment)) is not None:
                self._unsealed[segment] = block
        while self._unsealed:
            segment, block = next(iter(self._unsealed.items()))
            self._storage.put(segment.key, block)
            del self._unsealed[segment]

    def _block(self, segment: Part) -> bytes | None:
        """The bytes of a block that ends at the last entry, where all of it is known."""
        if len(self._entries) < segment.size:
            return None
        return segments.encode(list(self._entries)[-segment.size :])
