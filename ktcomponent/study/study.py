"""`Study`: a log of commits on storage, read to its head and appended to.

A commit lands by an exclusive create of the next key. A lost reply looks like a lost race, so after anything
but a clear success the key is read back: one of my ids means it landed, another id means somebody else was
first (fold it, decide again), nothing means send the same bytes again.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ktcomponent.errors import CorruptEntry, MissingEntry, StorageError, StudyNotFound, UnsupportedFormat
from ktcomponent.storage import Storage
from ktcomponent.study import entry as entries
from ktcomponent.study import layout, snapshots
from ktcomponent.study.patch import Patch
from ktcomponent.study.state import Entry, StudyState, check, fold
from ktcomponent.version import __version__

MAX_SPAN = 256
TRIES = 5


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
        study_id = _read_study_id(storage)
        if study_id is None:
            return None
        study = cls(storage, snapshots.load(storage, study_id) or StudyState(study_id))
        study._read_tail(span=16)
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
    def create(cls, storage: Storage, writer: Writer, document: Patch) -> tuple[Study, bool]:
        """Creates the study, or opens it where another process was faster.

        Args:
            storage: Where.
            writer: Who.
            document: The patch that makes the first document.

        Returns:
            The study, and whether this call created it.
        """
        about = {"format": layout.FORMAT, "study_id": uuid.uuid4().hex, "created": _now()}
        storage.put_if_absent(layout.STUDY, (json.dumps(about) + "\n").encode())
        study_id = _read_study_id(storage)
        if study_id is None:
            raise StorageError(f"{storage.url}/{layout.STUDY} was written and is not there.")
        study = cls(storage, StudyState(study_id))
        made = study.commit(writer, lambda state: None if state.seq else Draft("create", patch=document))
        return study, made is not None

    def refresh(self) -> list[Entry]:
        """Reads what was committed since; returns it."""
        with self._lock:
            return self._read_tail(span=1)

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
        mine: set[str] = set()
        lost = 0
        with self._lock:
            while True:
                for landed in self._read_tail(span=1):
                    if landed["id"] in mine:
                        return landed
                draft = decide(self.state)
                if draft is None:
                    return None
                if self.state.min_writer > layout.WRITER:
                    raise UnsupportedFormat(
                        f"The study {self.url} may only be written to by newer software (writer version "
                        f"{self.state.min_writer}, this is {layout.WRITER}). Upgrade ktcomponent."
                    )
                entry = self._number(writer, draft)
                check(self.state, entry)
                mine.add(entry["id"])
                data = entries.encode(entry)
                if self._land(layout.log(entry["seq"]), data, mine):
                    # Folded as every reader will: from the stored bytes.
                    self._fold(data, json.loads(data))
                    if snapshots.is_due(self.state.seq):
                        snapshots.save(self.storage, self.state)
                    return entry
                lost += 1
                time.sleep(random.uniform(0, min(0.005 * 2**lost, 0.5)))

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

    def _land(self, key: str, data: bytes, mine: set[str]) -> bool:
        """Writes the commit; False where another one has the key."""
        for n in range(1, TRIES + 1):
            try:
                if self.storage.put_if_absent(key, data):
                    return True
                stored = self.storage.get(key)
            except StorageError:
                if n == TRIES:
                    raise
                time.sleep(random.uniform(0, 0.1 * 2**n))
                continue
            if stored is not None:
                return entries.decode(stored, key)["id"] in mine
        raise StorageError(f"{self.url}/{key} is said to exist and is not there.")

    def _read_tail(self, span: int) -> list[Entry]:
        found: list[Entry] = []
        while True:
            keys = [layout.log(self.state.seq + 1 + i) for i in range(span)]
            stored = self.storage.get_many(keys)
            present = [i for i, data in enumerate(stored) if data is not None]
            if not present:
                return found
            for key, data in list(zip(keys, stored, strict=True))[: present[-1] + 1]:
                if data is None:
                    # A listing or a read may lag; a later commit proves that this one was written.
                    data = self.storage.get(key)
                if data is None:
                    raise MissingEntry(
                        f"{self.url}/{key} is missing although a later commit is there. Restore it from a "
                        "backup or an older version of the object; nothing was skipped or overwritten."
                    )
                entry = entries.decode(data, f"{self.url}/{key}")
                self._fold(data, entry)
                found.append(entry)
            if present[-1] < span - 1:
                return found
            span = min(span * 4, MAX_SPAN)

    def _fold(self, data: bytes, entry: Entry) -> None:
        fold(self.state, entry, hashlib.sha256(data).hexdigest())


def _read_study_id(storage: Storage) -> str | None:
    data = storage.get(layout.STUDY)
    if data is None:
        return None
    where = f"{storage.url}/{layout.STUDY}"
    try:
        about = json.loads(data[:65536])
        version, study_id = about["format"], about["study_id"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptEntry(f"{where} is not what its writer wrote: {error!r}. {entries.REMEDY}") from error
    if not isinstance(version, int) or version > layout.FORMAT:
        raise UnsupportedFormat(
            f"The study {storage.url} has format {version}, written by newer software; this reads format "
            f"{layout.FORMAT}. Upgrade ktcomponent."
        )
    return str(study_id)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
