"""`Reader`: brings a study's state forward along its log, with few requests in few rounds."""

from __future__ import annotations

import enum
import hashlib
import itertools
import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

from ktcomponent.errors import CorruptEntry, MissingEntry, UnsupportedFormat
from ktcomponent.storage import Storage
from ktcomponent.study import entry as entries
from ktcomponent.study import layout, segments, snapshots
from ktcomponent.study.sealing import Sealer
from ktcomponent.study.segments import ENTRY, Part
from ktcomponent.study.state import Entry, StudyState, fold

MAX_ABOUT = 65536
MAX_SPAN = 16 * segments.LARGE
"""So many commits are asked for at a time, at most."""
MAX_EXPECTED = 4 * segments.LARGE
"""So many are expected without having seen any, at most."""
LONG_S = 60.0
"""Who has not seen the head for so long looks twice."""


class Until(enum.Enum):
    """How far to read.

    Attributes:
        EXPECTED: As far as is expected; for who writes next, and finds out by one request, as by a look, whether the
            next key is free.
        ABOUT: All but the block that is being filled of what was there when the look began: a small one, or a large one
            where that many commits came since the last look.
        HEAD: Until the head was seen.
    """

    EXPECTED = enum.auto()
    ABOUT = enum.auto()
    HEAD = enum.auto()


class Pace:
    """How fast others commit: the rate that the last looks have shown, in commits a second."""

    def __init__(self) -> None:
        self._commits = 0.0
        self._seconds = 0.0

    def add(self, commits: int, seconds: float) -> None:
        """A look that came `seconds` after the one before showed so many.

        It tells enough alone where they are a block's worth, and where they are far fewer than expected.
        """
        expected = self.rate * seconds
        if commits >= segments.SMALL or expected > 4 * max(commits, 1):
            self._commits = self._seconds = 0.0
        elif self._commits > segments.SMALL:
            self._seconds *= segments.SMALL / self._commits
            self._commits = segments.SMALL
        self._commits += commits
        self._seconds += seconds

    @property
    def is_known(self) -> bool:
        return self._seconds > 0

    @property
    def rate(self) -> float:
        return self._commits / max(self._seconds, 0.05)


class Reader:
    """Reads the log of one study.

    Args:
        storage: Where the study lies.
        state: The state to start from; it is brought forward in place.

    Attributes:
        looked: When the head was seen (on the storage's clock), or what is as good.
        is_settled: Whether the last look saw the head, and not only what was expected.
        pace: How fast others move it.
        sealer: Has seen what was read.
        lacks_snapshot: Whether a snapshot is overdue.
    """

    def __init__(self, storage: Storage, state: StudyState) -> None:
        self.storage = storage
        self.state = state
        self.looked = float("-inf")
        self.is_settled = False
        self.pace = Pace()
        self.sealer = Sealer(storage)
        self.lacks_snapshot = False
        self._sealed: Collection[Part] | None = None
        self._known = 0  # So many commits there are at least.

    @classmethod
    def open(cls, storage: Storage) -> Reader | None:
        """At the head, or None where no study was created to the end.

        Three rounds of requests, however long the log, unless others commit meanwhile: whether there is a study; which
        snapshots and segments there are; the newest snapshot with the segments and entries behind it.

        Raises:
            UnsupportedFormat: If newer software wrote it.
            CorruptEntry, MissingEntry: If it can't be read as it is.
        """
        study_id = study_id_of(storage)
        if study_id is None:
            return None
        snapshot_keys, segment_keys = storage.side_by_side(
            [lambda: storage.list(snapshots.FOLDER), lambda: storage.list(segments.FOLDER)]
        )
        candidates = snapshots.newest_first(snapshot_keys)
        place = snapshots.place_of(candidates[0]) or 0 if candidates else 0
        sealed = segments.of_keys(segment_keys)
        # What was listed proves that there are so many.
        least = max(place, *(part.last for part in sealed), 0)
        parts = segments.covering(place + 1, min(least, place + MAX_SPAN), sealed.__contains__)
        parts += [Part(least + i, ENTRY) for i in range(1, segments.SMALL + 1)]
        reads: list[Callable[[], Any]] = [
            lambda: storage.get_many([part.key for part in parts], segments.MAX_BYTES)
        ]
        if candidates:
            reads += [
                lambda: storage.get(candidates[0], snapshots.MAX_BYTES),
                lambda: storage.get(layout.log(place), entries.MAX_BYTES),
            ]
        stored, *newest = storage.side_by_side(reads)
        state = snapshots.decode(candidates[0], newest[0], study_id) if candidates else None
        if state is None or not snapshots.follows(state, newest[1]):
            state = snapshots.load(storage, candidates[1:], study_id) or StudyState(study_id)
        reader = cls(storage, state)
        reader._begin(place, least, sealed, dict(zip(parts, stored, strict=True)))
        return reader if reader.state.seq else None

    def _begin(
        self, place: int, least: int, sealed: Collection[Part], stored: dict[Part, bytes | None]
    ) -> None:
        """Goes to the head by what was read in advance, as far as that goes.

        Args:
            place: Where the newest snapshot stands; what lies behind it was read.
            least: So many commits there are at least.
            sealed: The segments there are.
            stored: What was read.
        """
        self._sealed, self._known = sealed, least
        started = self.state.seq
        found: list[Entry] = []
        while self.state.seq < place:
            self._read_known(min(place, self.state.seq + MAX_SPAN), found)
        tail = {part: data for part, data in stored.items() if part.first > least}
        self._fold_parts({part: data for part, data in stored.items() if part.first <= least}, found)
        while self.state.seq < least:
            self._read_known(min(least, self.state.seq + MAX_SPAN), found)
        missing = self._fold_parts(tail, found)
        if missing is None or missing.first == least + segments.SMALL:
            self._go_on(found, 0, away=True)
        self._sealed = None
        # The block at the head may be about to be sealed.
        self.sealer.forget(self.state.seq - segments.SMALL)
        self.looked = self.storage.clock.monotonic()
        self.lacks_snapshot = self.state.seq - started > 2 * snapshots.spacing(self.state.seq)

    def _read_known(self, last: int, found: list[Entry]) -> None:
        """Reads on to commit `last`, which is there."""
        sealed = self._sealed or ()
        self._read(segments.covering(self.state.seq + 1, last, sealed.__contains__), found)

    def expected(self) -> float:
        """How many commits of others have probably come since the last look."""
        return min(self.pace.rate * self._since(), MAX_EXPECTED)

    def was_away(self) -> bool:
        """Whether it is long since the head was seen."""
        return self._since() > LONG_S

    def _since(self) -> float:
        return min(self.storage.clock.monotonic() - self.looked, 3600.0)

    def forward(self, until: Until = Until.HEAD) -> list[Entry]:
        """Reads on, with about as many requests as there is to read, and returns what is new."""
        found: list[Entry] = []
        self._go_on(found, self.expected(), until, self.was_away())
        now = self.storage.clock.monotonic()
        if now > self.looked > float("-inf"):
            self.pace.add(len(found), now - self.looked)
        self.looked = now
        return found

    def _go_on(
        self, found: list[Entry], expected: float, until: Until = Until.HEAD, away: bool = False
    ) -> None:
        """Reads what is expected, then more and more at a time.

        Args:
            found: What is new is added.
            expected: So many commits are expected, together with those in `found`.
            until: How far.
            away: Whether it is long since the head was seen. A missing entry may be a hole then, and not the end: the
                one behind it tells.
        """
        self.is_settled = False
        absent: Part | None = None
        beyond = segments.SMALL if until is Until.ABOUT and not self.pace.is_known else 1

        def usable(part: Part) -> bool:
            return absent is None or part.size < absent.size or part.first > absent.last

        while until is not Until.EXPECTED or len(found) < max(expected, 1):
            seq = self.state.seq
            left = int(expected - len(found))
            if absent is not None and absent.first <= seq + 1 <= absent.last:
                # The head lies in this block, or nobody has sealed it.
                last = min(seq + absent.size // 4, absent.last)
                if absent.last <= self._known:
                    last = absent.last
            elif left >= beyond:
                last = seq + left
            else:
                if len(found) >= segments.SMALL:
                    beyond = max(beyond, segments.SMALL)
                last = seq + beyond
                beyond = min(2 * beyond, MAX_SPAN)
            last = _whole_blocks(seq, last)
            parts = segments.covering(seq + 1, last, usable)
            missing = self._read(parts, found)
            if missing is not None:
                if missing.size == ENTRY:
                    if away and missing == parts[-1] and self._has(missing.first + 1):
                        self._known = max(self._known, missing.first + 1)
                        continue
                    self.is_settled = True
                    return
                if until is Until.ABOUT and (
                    len(found) >= missing.size or (found and missing.size == segments.SMALL)
                ):
                    # Its last entry tells whether the head lies in this block, or nobody has sealed it.
                    if not self._has(missing.last):
                        return
                    self._known = max(self._known, missing.last)
                absent = missing

    def _has(self, n: int) -> bool:
        """Whether commit `n` is there."""
        return self.storage.get(layout.log(n), 0) is not None

    def read_to(self, n: int) -> None:
        """Reads on to commit `n`, which is there.

        Raises:
            MissingEntry: If one on the way is missing.
        """
        self._known = n
        while self.state.seq < n:
            self._read_known(min(n, self.state.seq + segments.LARGE), [])

    def _read(self, parts: Sequence[Part], found: list[Entry]) -> Part | None:
        """Reads parts that follow one another; see `_fold_parts`."""
        stored = self.storage.get_many([part.key for part in parts], segments.MAX_BYTES)
        return self._fold_parts(dict(zip(parts, stored, strict=True)), found)

    def _fold_parts(self, stored: dict[Part, bytes | None], found: list[Entry]) -> Part | None:
        """Folds parts that were read, up to the head; returns the first that isn't there.

        Raises:
            MissingEntry: If one is missing although a later one is there.
        """
        there = max([self._known, *(part.last for part, data in stored.items() if data is not None)])
        for part, data in stored.items():
            if part.last <= self.state.seq:
                continue
            if data is None and part.last > there:
                return part
            if part.size == ENTRY:
                self._fold_entry(part, data, found)
            elif not self._fold_segment(part, data, found):
                # Nobody sealed it, or it is damaged: its entries are there all the same.
                self._known = max(self._known, part.last)
                self._read([Part(n, ENTRY) for n in range(self.state.seq + 1, part.last + 1)], found)
        return None

    def _fold_entry(self, part: Part, data: bytes | None, found: list[Entry]) -> None:
        if data is None:
            # A read may lag; a later commit proves that this one was written.
            data = self.storage.get(part.key, entries.MAX_BYTES)
        if data is None:
            raise self.missing(part.first)
        entry = entries.decode(data, f"{self.storage.url}/{part.key}")
        self.fold(data, entry)
        found.append(entry)

    def _fold_segment(self, part: Part, data: bytes | None, found: list[Entry]) -> bool:
        """Folds what is new in a segment; False where there is none, or none that continues what was read."""
        lines = segments.decode(data, part)
        if lines is None or self.state.seq + 1 < part.first:
            return False
        new = lines[self.state.seq + 1 - part.first :]
        if new[0][1].get("prev_sha256") != self.state.last_sha256:
            return False
        for (line, _), (_, following) in itertools.pairwise(new):
            if following.get("prev_sha256") != hashlib.sha256(line).hexdigest():
                return False
        for line, entry in new:
            self.fold(line, entry)
            found.append(entry)
        return True

    def fold(self, data: bytes, entry: Entry) -> None:
        """Folds the next entry, given as it is stored and as what it says."""
        fold(self.state, entry, hashlib.sha256(data).hexdigest())
        self.sealer.add(self.state.seq, data, self._sealed)

    def missing(self, n: int) -> MissingEntry:
        return MissingEntry(
            f"{self.storage.url}/{layout.log(n)} is missing although a later commit is there. Restore it from a backup "
            "or an older version of the object, or make a sound copy with `ktcomponent study repair`; nothing was "
            "skipped or overwritten."
        )


def _whole_blocks(seq: int, last: int) -> int:
    """About as far as `last` from `seq` on, so that segments are asked for where they are likely to be there."""
    if last - seq < segments.SMALL / 2:
        return last
    for size in (segments.SMALL, segments.LARGE):
        part = segments.around(last, size)
        if last - max(seq, part.first - 1) >= size / 2:
            last = part.last
        elif size == segments.SMALL and part.first - 1 > seq:
            last = part.first - 1
    return last


def study_id_of(storage: Storage) -> str | None:
    """The id of the study at a place, None where there is none.

    Raises:
        CorruptEntry, UnsupportedFormat: If it can't be told.
    """
    return study_id_in(storage.get(layout.STUDY, MAX_ABOUT), storage)


def study_id_in(data: bytes | None, storage: Storage) -> str | None:
    """The id of the study whose `study.json` this is; None where there is none."""
    if data is None:
        return None
    where = f"{storage.url}/{layout.STUDY}"
    try:
        about = json.loads(data)
        version, study_id = about["format"], about["study_id"]
        if (
            len(data) > MAX_ABOUT
            or "seq" in about
            or not isinstance(study_id, str)
            or not isinstance(version, int)
        ):
            raise ValueError("it doesn't say which study this is")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptEntry(f"{where} is not what its writer wrote: {error!r}. {entries.REMEDY}") from error
    if version > layout.FORMAT:
        raise UnsupportedFormat(
            f"The study {storage.url} has format {version}, written by newer software; this reads format "
            f"{layout.FORMAT}. Upgrade ktcomponent."
        )
    return study_id
