"""`Study`: a log of commits on storage, read to its head and appended to.

A commit lands by an exclusive create of the next key. A lost reply looks like a lost race, so after anything
but a clear success the key is read back: my id means it landed, another id means somebody else was
first (fold it, decide again), nothing means send the same bytes again.
"""

from __future__ import annotations

import datetime
import json
import random
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ktcomponent.errors import (
    ConfigurationError,
    Refused,
    StorageError,
    StudyNotFound,
    UnsupportedFormat,
)
from ktcomponent.storage import Storage
from ktcomponent.study import entry as entries
from ktcomponent.study import layout, snapshots, upkeep
from ktcomponent.study.backoff import Backoff
from ktcomponent.study.patch import Patch
from ktcomponent.study.reader import Reader, Until, study_id_of
from ktcomponent.study.state import Entry, StudyState, check
from ktcomponent.version import __version__

TRIES = 5
LIKELY = 0.5
"""From so many commits of others that are expected a look comes before a commit; else writing itself shows them."""


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
        reader: Has read it so far.
    """

    def __init__(self, reader: Reader) -> None:
        self.storage = reader.storage
        self.state = reader.state
        self._reader = reader
        self._lock = threading.RLock()
        self._backoff = Backoff()

    @property
    def url(self) -> str:
        return self.storage.url

    @classmethod
    def find(cls, storage: Storage) -> Study | None:
        """The study at its head, or None where none was created (to the end).

        Raises:
            UnsupportedFormat: If newer software wrote it.
            CorruptEntry, MissingEntry: If it can't be read as it is.
        """
        reader = Reader.open(storage)
        return None if reader is None else cls(reader)

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
    def from_start(cls, storage: Storage) -> Study | None:
        """For a study that was not there a moment ago: read from its first commit on, which needs no listings.

        Returns:
            The study, about at its head, before its first commit if there is none; None where there is no `study.json`.
        """
        study_id = study_id_of(storage)
        if study_id is None:
            return None
        study = cls(Reader(storage, StudyState(study_id)))
        study.refresh(Until.ABOUT)
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
        reader = Reader(storage, snapshots.load(storage, keys, study_id) or StudyState(study_id))
        reader.read_to(n)
        return cls(reader)

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
        study = cls.from_start(storage)
        if study is None:
            raise StorageError(f"{storage.url}/{layout.STUDY} was written and is not there.")
        made = study.commit(writer, lambda state: None if state.seq else Draft("create", patch=document))
        return study, made is not None

    def refresh(self, until: Until = Until.HEAD) -> list[Entry]:
        """Reads what was committed since; returns it."""
        with self._lock:
            return self._reader.forward(until)

    def commit(
        self, writer: Writer, decide: Callable[[StudyState], Draft | None], *, patient: bool = False
    ) -> Entry | None:
        """Appends one commit.

        Args:
            writer: Who commits.
            decide: Called with the head, and again with a newer one after a lost race; None gives up.
            patient: Whether it may wait for some seconds where many commit.

        Returns:
            The commit, or None where `decide` gave up.

        Raises:
            Refused, Fenced: If the rules forbid the commit.
            StorageError: If storage doesn't answer clearly even after several tries.
        """
        self.storage.check_shared()
        clock = self.storage.clock
        lost = 0
        with self._lock:
            self._backoff.begins(clock.monotonic(), patient)
            sure = False  # Whether the head must be seen.
            while True:
                self._look(sure, lost)
                try:
                    draft = decide(self.state)
                    entry = None if draft is None else self._number(writer, draft)
                    if entry is not None:
                        check(self.state, entry)
                except Refused:
                    if self._reader.is_settled:
                        raise
                    entry = None
                if entry is None:
                    if self._reader.is_settled:
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
                data = entries.encode(entry)
                _check_size(data, draft)
                key = layout.log(entry["seq"])
                began = clock.monotonic()
                first = self._land(key, data, entry["id"])
                self._backoff.written(clock.monotonic() - began)
                if first is None:
                    # Folded as every reader will: from the stored bytes.
                    self._reader.fold(data, json.loads(data))
                    self._reader.looked = clock.monotonic()
                    self._backoff.landed(clock.monotonic())
                    self._keep_up()
                    return entry
                self._reader.fold(first, entries.decode(first, f"{self.url}/{key}"))
                lost += 1
                clock.sleep(self._backoff.seconds(lost, self._reader.pace.rate))

    def _look(self, sure: bool, lost: int) -> None:
        """Looks whether others were faster, as far as that pays.

        Args:
            sure: Whether the head must be seen.
            lost: How many races were lost for this commit.
        """
        reader = self._reader
        turns = self._backoff.takes_turns(reader.pace.rate)
        if sure or reader.was_away() or lost > 1 or (lost and not turns):
            # What is expected is a guess by what was expected before, so a second loss asks for the truth.
            reader.forward()
        elif lost or reader.expected() >= LIKELY:
            reader.forward(Until.EXPECTED)
        else:
            reader.is_settled = False

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

    def _land(self, key: str, data: bytes, mine: str) -> bytes | None:
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
                return None if entries.decode(stored, f"{self.url}/{key}")["id"] == mine else stored
            if n < TRIES:
                self.storage.clock.sleep(random.uniform(0, 0.05 * 2**n))
        raise failure or StorageError(f"{self.url}/{key} is said to exist and is not there.")

    def _keep_up(self) -> None:
        """After a commit of this process: what saves readers time. Seals blocks and writes the snapshot that is due."""
        n = self.state.seq
        try:
            self._reader.sealer.seal()
            if snapshots.is_due(n) or (self._reader.lacks_snapshot and n % snapshots.SPACING == 0):
                self._reader.lacks_snapshot = False
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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
