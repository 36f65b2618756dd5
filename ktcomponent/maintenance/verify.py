"""`ktcomponent study verify`: everything that is stored is what its writer wrote, and fits together."""

from __future__ import annotations

import collections
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ktcomponent.errors import ConfigurationError, StudyError
from ktcomponent.maintenance.reading import fold_next, last_number, number_of, read_log
from ktcomponent.storage import Storage
from ktcomponent.study import layout, segments, snapshots
from ktcomponent.study.artifacts import digest
from ktcomponent.study.reader import study_id_of
from ktcomponent.study.state import StudyState
from ktcomponent.study.study import Study

MAX_MANIFEST = 16 * 1024 * 1024


@dataclass
class Verification:
    """What was looked at, and what is wrong.

    Attributes:
        study: URL of the study.
        commits, snapshots, segments, files, exports: How many of each were checked.
        file_bytes: Size of the files together.
        problems: (key, what is wrong) of each damaged object; none of a sound study.
    """

    study: str
    commits: int = 0
    snapshots: int = 0
    segments: int = 0
    files: int = 0
    file_bytes: int = 0
    exports: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def verify(storage: Storage) -> Verification:
    """Reads a whole study: every entry, the chain, the rules, snapshots, segments, artifacts and exports.

    Raises:
        StudyNotFound: If there is none.
    """
    found = Verification(storage.url)
    study_id = None
    try:
        study_id = study_id_of(storage)
    except StudyError as error:
        found.problems.append((layout.STUDY, str(error)))
    # Listed before the log, so that in a search that goes on each has its entries.
    derived = storage.list(snapshots.FOLDER), storage.list(segments.FOLDER)
    last = last_number(storage)
    if last == 0 and not found.problems:
        Study.open(storage)  # says that there is none
    if study_id is None and not found.problems:
        found.problems.append((layout.STUDY, "is missing"))
    state = _verify_log(storage, study_id, last, *derived, found)
    if state is not None:
        _verify_files(storage, state, found)
    _verify_exports(storage, found)
    return found


def _verify_log(
    storage: Storage,
    study_id: str | None,
    last: int,
    snapshot_keys: Sequence[str],
    segment_keys: Sequence[str],
    found: Verification,
) -> StudyState | None:
    """Checks entries, chain, rules, snapshots and segments; the last state, None where it can't be had."""
    for key in storage.list("log"):
        if number_of(key) is None:
            found.problems.append((key, "is no entry of a log"))
    due: dict[int, list[str]] = {}
    for key in snapshot_keys:
        due.setdefault(snapshots.place_of(key) or 0, []).append(key)
    sealed = segments.of_keys(segment_keys)
    for key in set(segment_keys) - set(sealed.values()):
        found.problems.append((key, "is no segment of a log"))
    state: StudyState | None = None
    broken = False
    recent: collections.deque[bytes] = collections.deque(maxlen=segments.LARGE)
    for reading in read_log(storage, last):
        found.commits += 1
        if state is None and not broken:
            state = StudyState(study_id or str((reading.entry or {}).get("study_id")))
        problem = reading.problem
        if problem is None and state is not None:
            problem = fold_next(state, reading)
        if problem is not None:
            found.problems.append((layout.log(reading.n), str(problem)))
            broken, state = True, None
        recent.append(reading.data or b"")
        for part in segments.ending_at(reading.n):
            if sealed.pop(part, None) is not None:
                _verify_segment(storage, part.key, list(recent)[-part.size :], found)
        for key in due.pop(reading.n, []):
            _verify_snapshot(storage, key, state, found)
    for key in [*sealed.values(), *(key for keys in due.values() for key in keys)]:
        found.problems.append((key, "belongs to no part of the log"))
    return state


def _verify_segment(storage: Storage, key: str, block: list[bytes], found: Verification) -> None:
    found.segments += 1
    stored = storage.get(key, segments.MAX_BYTES)
    if stored is not None and stored != segments.encode(block):
        found.problems.append((key, "is no copy of its block of the log; readers ignore it or read the log"))


def _verify_snapshot(storage: Storage, key: str, state: StudyState | None, found: Verification) -> None:
    found.snapshots += 1
    if state is None:
        return
    data = storage.get(key, snapshots.MAX_BYTES)
    if data is None:
        return  # a newer one has taken its place
    kept = snapshots.decode(key, data, state.study_id)
    if kept is None:
        found.problems.append((key, "is damaged, or of another version; readers ignore it"))
    elif kept.to_json() != state.to_json():
        found.problems.append((key, "is not the state that its entries give"))


def _verify_files(storage: Storage, state: StudyState, found: Verification) -> None:
    for trial_id, lease in state.leases.items():
        for file in lease.get("files", []):
            key = layout.attempt_file(state.generation, trial_id, lease["attempt"], file["name"])
            found.files += 1
            found.file_bytes += file["size"]
            wrong = file_problem(storage, key, file)
            if wrong and _is_listed(storage, trial_id, file):
                found.problems.append((key, f"{wrong}, and trial {trial_id} needs it"))


def _is_listed(storage: Storage, trial_id: str, file: dict[str, Any]) -> bool:
    """Whether a trial still has a file; it may have been given up in the meantime."""
    return file in Study.open(storage).state.leases.get(trial_id, {}).get("files", [])


def file_problem(storage: Storage, key: str, file: dict[str, Any]) -> str | None:
    """What is wrong with a stored file of which `size` and `sha256` are known; None if nothing."""
    with tempfile.TemporaryDirectory(prefix="ktcomponent-") as scratch:
        path = Path(scratch, "file")
        try:
            if not storage.download(key, path):
                return "is missing"
        except ConfigurationError as error:
            return str(error)
        if path.stat().st_size != file["size"] or digest(path) != file["sha256"]:
            return "is not what was uploaded"
    return None


def _verify_exports(storage: Storage, found: Verification) -> None:
    for key in storage.list("exports"):
        if not key.endswith("/manifest.json"):
            continue
        found.exports += 1
        folder = key.rsplit("/", 1)[0]
        files = listed_files(storage, key)
        if files is None:
            found.problems.append((key, "is no manifest of an export"))
            continue
        for file in files:
            name = f"{folder}/{file['name']}"
            wrong = file_problem(storage, name, file)
            if wrong:
                found.problems.append((name, wrong))


def listed_files(storage: Storage, manifest: str) -> list[dict[str, Any]] | None:
    """The files that the manifest of an export lists; None where it can't be read."""
    try:
        files = json.loads(storage.get(manifest, MAX_MANIFEST) or b"")["files"]
        kinds = {"name": str, "size": int, "sha256": str}
        sound = all(isinstance(file[name], kind) for file in files for name, kind in kinds.items())
        return list(files) if sound else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
