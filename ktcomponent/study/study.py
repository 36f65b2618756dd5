"""`Study`: a log of commits on storage, read to its head and appended to.

A commit lands by an exclusive create of the next key. A lost reply looks like a lost race, so after anything
but a clear success the key is read back: one of my ids means it landed, another id means somebody else was
first (fold it, decide again), nothing means send the same bytes again.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import random
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ktcomponent.errors import (
    ConfigurationError,
    CorruptEntry,
    MissingEntry,
    Refused,
    StorageError,
    StudyNotFound,
    UnsupportedFormat,
)
from ktcomponent.storage import Storage
from ktcomponent.study import entry as entries
from ktcomponent.study import layout, segments, snapshots, upkeep
from ktcomponent.study.patch import Patch
from ktcomponent.study.state import Entry, StudyState, check, fold
from ktcomponent.version import __version__

MAX_SPAN = 64
TRIES = 5
MAX_ABOUT = 65536
MAX_BACKOFF_S = 2.0
LONG_S = 60.0
"""Who has not seen the head for so long looks twice."""


@dataclass(frozen=True)
class Writer:
    """Who commits.

    Attributes:
        owner: Who claims trials.
        incarnation: One training child, or one notebook search, of that owner.
        generation: The generation it works in, outside of which it is fenced; None for whichever is current.
    """

    owner: str
    incarnation: str
    generation: int | None = None


@dataclass
class Draft:
    """A commit that is yet to be numbered and written.

    Attributes:
        op: The operation.
        trial: The trial it is about, if any.
        attempt: The attempt it is about, if any.
        patch: What it changes in the document.
        extra: Further keys of the entry.
    """

    op: str
    trial: str | None = None
    attempt: int | None = None
    patch: Patch = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


class Study:
    """One study at its head, as far as this process has read it.

    Args:
        storage: Where the study lies.
        state: The state to start from.
    """

    def __init__(self, storage: Storage, state: StudyState) -> None:
        self.storage = storage
        self.state = state
        self._lock = threading.RLock()
        # The stored entries of the block that the head is in, and whole blocks that nobody has sealed.
        self._block: list[bytes] = []
        self._unsealed: list[tuple[int, bytes]] = []
        self._lacks_snapshot = False
        # When the head was seen, and how fast others were moving it (commits a second).
        self._looked = float("-inf")
        self._rate = 0.0
        # How long it takes to write, in seconds.
        self._latency = 0.02

    @property
    def url(self) -> str:
        return self.storage.url

    @classmethod
    def find(cls, storage: Storage) -> Study | None:
        """The study at its head, or None where none was created (to the end).

        Three rounds of requests at most, however long the log: what there is; the newest snapshot with the
        segments and the entries behind it; what has come since.

        Raises:
            UnsupportedFormat: If newer software wrote it.
            CorruptEntry, MissingEntry: If it can't be read as it is.
        """
        about, snapshot_keys, segment_keys = storage.side_by_side(
            [
                lambda: storage.get(layout.STUDY, MAX_ABOUT),
                lambda: storage.list(snapshots.FOLDER),
                lambda: storage.list(segments.FOLDER),
            ]
        )
        study_id = _study_id_in(about, storage)
        if study_id is None:
            return None
        candidates = snapshots.newest_first(snapshot_keys)
        place = snapshots.place_of(candidates[0]) or 0 if candidates else 0
        sealed = sorted(n for n in map(segments.number_of, segment_keys) if n is not None and n > place)
        behind = (sealed[-1] + segments.BLOCK) if sealed else place + 1
        tail = [behind + i for i in range(segments.BLOCK)]
        reads: list[Callable[[], Any]] = [
            lambda: (
                storage.get_many([layout.segment(n) for n in sealed], segments.MAX_BYTES) if sealed else []
            ),
            lambda: storage.get_many([layout.log(n) for n in tail], entries.MAX_BYTES),
        ]
        if candidates:
            reads += [
                lambda: storage.get(candidates[0], snapshots.MAX_BYTES),
                lambda: storage.get(layout.log(place), entries.MAX_BYTES),
            ]
        blocks, singles, *newest = storage.side_by_side(reads)
        state = snapshots.decode(candidates[0], newest[0], study_id) if candidates else None
        if state is None or not snapshots.follows(state, newest[1]):
            state = snapshots.load(storage, candidates[1:], study_id) or StudyState(study_id)
        study = cls(storage, state)
        study._catch_up(dict(zip(sealed, blocks, strict=True)), dict(zip(tail, singles, strict=True)))
        if study.state.seq < max(place, behind - 1):
            # What was listed proves that there is more.
            raise study._missing(study.state.seq + 1)
        return study if study.state.seq else None

    @classmethod
    def open(cls, storage: Storage) -> Study:
        """Like `find`.

        Raises:
            StudyNotFound: Where there is none.
        """
        study = cls.find(storage)
        if study is None:
            raise StudyNotFound(
                f"There is no study at {storage.url}. Check the URL, or create it with `ktcomponent prepare`."
            )
        return study

    @classmethod
    def at(cls, storage: Storage, n: int) -> Study:
        """The study as it was after commit `n`.

        Raises:
            ConfigurationError: If there is no such commit.
        """
        head = cls.open(storage)
        if not 1 <= n <= head.state.seq:
            raise ConfigurationError(f"{storage.url} has the commits 1 to {head.state.seq}, not {n}.")
        return cls.at_number(storage, head.state.study_id, n)

    @classmethod
    def at_number(cls, storage: Storage, study_id: str, n: int) -> Study:
        """Like `at`, for a study whose id is known and that has that commit."""
        keys = [k for k in storage.list(snapshots.FOLDER) if (snapshots.place_of(k) or n + 1) <= n]
        study = cls(storage, snapshots.load(storage, keys, study_id) or StudyState(study_id))
        while study.state.seq < n:
            first = study.state.seq + 1
            numbers = range(first, min(first + MAX_SPAN, n + 1))
            study._fold_singles(
                numbers, storage.get_many([layout.log(i) for i in numbers], entries.MAX_BYTES)
            )
            if study.state.seq < first:
                raise study._missing(first)
        return study

    @classmethod
    def create(cls, storage: Storage, writer: Writer, document: Patch) -> tuple[Study, bool]:
        """Creates the study, or opens it where another process was faster.

        Args:
            storage: Where.
            writer: Who.
            document: The patch that makes the first document.

        Returns:
            The study, and whether this call created it.
        """
        storage.check_shared()
        about = {"format": layout.FORMAT, "study_id": uuid.uuid4().hex, "created": _now()}
        storage.put_if_absent(layout.STUDY, (json.dumps(about) + "\n").encode())
        study_id = study_id_of(storage)
        if study_id is None:
            raise StorageError(f"{storage.url}/{layout.STUDY} was written and is not there.")
        study = cls(storage, StudyState(study_id))
        made = study.commit(writer, lambda state: None if state.seq else Draft("create", patch=document))
        return study, made is not None

    def refresh(self) -> list[Entry]:
        """Reads what was committed since; returns it."""
        with self._lock:
            return self._read_tail()

    def commit(self, writer: Writer, decide: Callable[[StudyState], Draft | None]) -> Entry | None:
        """Appends one commit.

        Args:
            writer: Who commits.
            decide: Called with the head, and again with a newer one after a lost race; None gives up.

        Returns:
            The commit, or None where `decide` gave up.

        Raises:
            Refused, Fenced: If the rules forbid the commit.
            StorageError: If storage doesn't answer clearly even after several tries.
        """
        self.storage.check_shared()
        clock = self.storage.clock
        mine: set[str] = set()
        lost = 0
        with self._lock:
            sure = False
            while True:
                for landed in self._read_tail(settle=sure or lost > 0):
                    if landed["id"] in mine:
                        return landed
                try:
                    draft = decide(self.state)
                    entry = None if draft is None else self._number(writer, draft)
                    if entry is not None:
                        check(self.state, entry)
                except Refused:
                    if sure:
                        raise
                    entry = None
                if entry is None:
                    if sure:
                        return None
                    # Not without having seen the head.
                    sure = True
                    continue
                sure = False
                if self.state.min_writer > layout.WRITER:
                    raise UnsupportedFormat(
                        f"The study {self.url} may only be written to by newer software (writer version "
                        f"{self.state.min_writer}, this is {layout.WRITER}). Upgrade ktcomponent."
                    )
                mine.add(entry["id"])
                data = entries.encode(entry)
                _check_size(data, draft)
                key = layout.log(entry["seq"])
                began = clock.monotonic()
                first = self._land(key, data, mine)
                self._latency = (self._latency + clock.monotonic() - began) / 2
                if first is None:
                    # Folded as every reader will: from the stored bytes.
                    self._fold(data, json.loads(data))
                    self._looked = clock.monotonic()
                    self._keep_up()
                    return entry
                self._fold(first, entries.decode(first, f"{self.url}/{key}"))
                lost += 1
                # With many writers, whoever lost waits for a time that doubles, and for others to fill a block: then
                # fewer try at a time, and catching up takes whole blocks.
                wait = max(
                    self._latency * 2 ** min(lost, 16), segments.BLOCK / self._rate if self._busy else 0.0
                )
                clock.sleep(random.uniform(0.5, 1.5) * min(wait, MAX_BACKOFF_S))

    @property
    def _busy(self) -> bool:
        """Whether others commit so fast that a commit is likely to lose."""
        return self._rate * self._latency > 0.1

    def _number(self, writer: Writer, draft: Draft) -> Entry:
        state = self.state
        return {
            "format": layout.FORMAT,
            "min_reader": layout.READER,
            "min_writer": layout.WRITER,
            "study_id": state.study_id,
            "generation": writer.generation or state.generation,
            "seq": state.seq + 1,
            "id": uuid.uuid4().hex,
            "prev_sha256": state.last_sha256,
            "writer": {
                "owner": writer.owner,
                "incarnation": writer.incarnation,
                "software": f"ktcomponent {__version__}",
            },
            "time": _now(),
            "op": draft.op,
            "trial": draft.trial,
            "attempt": draft.attempt,
            "patch": draft.patch,
            **draft.extra,
        }

    def _land(self, key: str, data: bytes, mine: set[str]) -> bytes | None:
        """Writes the commit; returns another one that has the key, if one has."""
        failure: StorageError | None = None
        for n in range(1, TRIES + 1):
            try:
                if self.storage.put_if_absent(key, data):
                    return None
            except StorageError as error:
                failure = error
            # A lost reply looks like a lost race, and the other way round: what is stored tells.
            stored = self.storage.get(key, entries.MAX_BYTES)
            if stored is not None:
                return None if entries.decode(stored, f"{self.url}/{key}")["id"] in mine else stored
            if n < TRIES:
                self.storage.clock.sleep(random.uniform(0, 0.05 * 2**n))
        raise failure or StorageError(f"{self.url}/{key} is said to exist and is not there.")

    # -- reading -----------------------------------------------------------------------------------------

    def _read_tail(self, settle: bool = True) -> list[Entry]:
        """Reads forward, with about as many requests as there is to read: single entries while few are expected,
        whole blocks where others were fast.

        Args:
            settle: Whether to read until the head was seen. Else what is expected will do: who writes then finds out
                by one request, as by a look, whether the next key is free.
        """
        clock = self.storage.clock
        since = min(clock.monotonic() - self._looked, 3600.0)
        expected = self._rate * since
        # A missing entry may be a hole: the one behind it tells, where it is long since the head was seen.
        long_ago = since > LONG_S
        if not settle and not long_ago and expected < 0.5:
            return []
        found: list[Entry] = []
        more = True
        while more:
            if found or expected >= segments.BLOCK:
                self._read_segments(found, max(1, int((expected - len(found)) // segments.BLOCK)))
            # If a block's worth of them is there, others were faster than expected: on with whole blocks.
            more = self._read_singles(found, segments.BLOCK - 1, 1 + long_ago)
            if not settle and len(found) >= expected:
                more = False
        now = clock.monotonic()
        if now > self._looked > float("-inf"):
            self._rate = (self._rate + len(found) / max(now - self._looked, 0.05)) / 2
        self._looked = now
        return found

    def _read_singles(self, found: list[Entry], most: int, span: int) -> bool:
        """Reads `span` entries, then more at a time; whether there may be more after `most` of them."""
        while most > 0:
            numbers = range(self.state.seq + 1, self.state.seq + 1 + span)
            stored = self.storage.get_many([layout.log(n) for n in numbers], entries.MAX_BYTES)
            folded = self._fold_singles(numbers, stored)
            found += folded
            if len(folded) < len(numbers):
                return False
            most -= len(numbers)
            span *= 2
        return True

    def _read_segments(self, found: list[Entry], blocks: int) -> None:
        """Reads whole blocks, `blocks` at first, while there are some that are sealed."""
        while True:
            first = segments.first_of(self.state.seq + 1)
            numbers = [first + i * segments.BLOCK for i in range(min(blocks, MAX_SPAN))]
            stored = self.storage.get_many([layout.segment(n) for n in numbers], segments.MAX_BYTES)
            for n, data in zip(numbers, stored, strict=True):
                lines = segments.decode(data, n) if data is not None else None
                if lines is None or not self._fold_segment(n, lines, found):
                    return
            blocks = max(1, len(found) // segments.BLOCK)

    def _fold_segment(self, first: int, lines: Sequence[segments.Line], found: list[Entry]) -> bool:
        """Folds what is new in a segment; False where it doesn't continue what was read, which is then read singly."""
        new = lines[self.state.seq + 1 - first :]
        if not 0 <= self.state.seq + 1 - first < len(lines):
            return False
        if new[0][1].get("prev_sha256") != self.state.last_sha256:
            return False
        for (data, _), (_, following) in itertools.pairwise(new):
            if following.get("prev_sha256") != hashlib.sha256(data).hexdigest():
                return False
        for data, entry in new:
            self._fold(data, entry)
            found.append(entry)
        return True

    def _fold_singles(self, numbers: Sequence[int], stored: Sequence[bytes | None]) -> list[Entry]:
        """Folds entries that were read; returns those before the head.

        Raises:
            MissingEntry: If one is missing although a later one is there.
        """
        present = [i for i, data in enumerate(stored) if data is not None]
        found: list[Entry] = []
        for n, data in list(zip(numbers, stored, strict=True))[: present[-1] + 1 if present else 0]:
            key = layout.log(n)
            if data is None:
                # A read may lag; a later commit proves that this one was written.
                data = self.storage.get(key, entries.MAX_BYTES)
            if data is None:
                raise self._missing(n)
            entry = entries.decode(data, f"{self.url}/{key}")
            self._fold(data, entry)
            found.append(entry)
        return found

    def _catch_up(self, blocks: dict[int, bytes | None], singles: dict[int, bytes | None]) -> None:
        """Goes to the head, by what opening has read in advance as far as that goes."""
        started = self.state.seq
        for n, data in blocks.items():
            if n <= self.state.seq:
                continue
            lines = segments.decode(data, n) if n == self.state.seq + 1 and data is not None else None
            if lines is None or not self._fold_segment(n, lines, []):
                break
        numbers = [n for n in singles if n > self.state.seq]
        if numbers and numbers[0] == self.state.seq + 1:
            found = self._fold_singles(numbers, [singles[n] for n in numbers])
            at_head = len(found) < len(numbers)
        else:
            at_head = False
        if not at_head:
            # What nobody has sealed, or somebody is about to.
            span = segments.BLOCK
            while True:
                numbers = list(range(self.state.seq + 1, self.state.seq + 1 + span))
                stored = self.storage.get_many([layout.log(n) for n in numbers], entries.MAX_BYTES)
                if len(self._fold_singles(numbers, stored)) < span:
                    break
                span = min(span * 2, MAX_SPAN)
        self._looked = self.storage.clock.monotonic()
        self._unsealed = [block for block in self._unsealed if blocks.get(block[0]) is None]
        self._lacks_snapshot = self.state.seq - started > 2 * snapshots.spacing(self.state.seq)

    def _fold(self, data: bytes, entry: Entry) -> None:
        fold(self.state, entry, hashlib.sha256(data).hexdigest())
        n = self.state.seq
        if n == segments.first_of(n):
            self._block = []
        self._block.append(data)
        if segments.ends_block(n) and len(self._block) == segments.BLOCK and not self._looked > float("-inf"):
            # While opening: whether it was sealed is seen at the end.
            self._unsealed.append((segments.first_of(n), segments.encode(self._block)))

    def _missing(self, n: int) -> MissingEntry:
        return MissingEntry(
            f"{self.url}/{layout.log(n)} is missing although a later commit is there. Restore it from a backup or an "
            "older version of the object, or make a sound copy with `ktcomponent study repair`; nothing was skipped "
            "or overwritten."
        )

    # -- what saves readers time ---------------------------------------------------------------------------

    def _keep_up(self) -> None:
        """After a commit of this process: seals its block and writes the snapshot that is due."""
        n = self.state.seq
        try:
            if segments.ends_block(n) and len(self._block) == segments.BLOCK:
                self.storage.put(layout.segment(segments.first_of(n)), segments.encode(self._block))
            while self._unsealed:
                first, data = self._unsealed[-1]
                self.storage.put(layout.segment(first), data)
                self._unsealed.pop()
            if snapshots.is_due(n) or (self._lacks_snapshot and segments.ends_block(n)):
                self._lacks_snapshot = False
                self.storage.put(*snapshots.encode(self.state))
                upkeep.tidy(self.storage, self.state)
        except StorageError:
            return  # It costs readers time and nothing else.


def _check_size(data: bytes, draft: Draft | None) -> None:
    """Refuses a commit that no reader would take."""
    if len(data) <= entries.MAX_BYTES:
        return
    parts = [(len(entries.dumps(change)), "/".join(change[1])) for change in (draft.patch if draft else [])]
    largest = f"; its largest part is {max(parts)[1]!r}" if parts else ""
    raise ConfigurationError(
        f"A commit of {len(data)} bytes is too large: at most {entries.MAX_BYTES} are allowed{largest}. Keep what can be "
        "derived, and what is large, out of the state of oracles and tuners."
    )


def study_id_of(storage: Storage) -> str | None:
    """The id of the study at a place, None where there is none.

    Raises:
        CorruptEntry, UnsupportedFormat: If it can't be told.
    """
    return _study_id_in(storage.get(layout.STUDY, MAX_ABOUT), storage)


def _study_id_in(data: bytes | None, storage: Storage) -> str | None:
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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
