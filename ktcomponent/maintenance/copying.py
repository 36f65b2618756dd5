"""`copy` and `repair`: a study at another place, between any two storages.

Entries, files and exports are copied as they are, entries in order and `study.json` last, so that a copy that was
broken off is no study yet and can be begun again.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ktcomponent.errors import ConfigurationError, StudyError, StudyNotFound
from ktcomponent.maintenance.reading import Reading, fold_next, from_segment, last_number, read_log
from ktcomponent.maintenance.verify import file_problem, listed_files
from ktcomponent.storage import Storage
from ktcomponent.study import incarnations, layout, snapshots
from ktcomponent.study.reader import study_id_of
from ktcomponent.study.sealing import Sealer
from ktcomponent.study.state import StudyState
from ktcomponent.study.study import Draft, Study, Writer


@dataclass
class Copied:
    """What a copy has, and what it lacks.

    Attributes:
        commits, files: How many were copied.
        lost: (key, why) of what could not be.
    """

    commits: int = 0
    files: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)


def copy(source: Storage, target: Storage) -> Copied:
    """Copies a sound study as it is now.

    Raises:
        StudyError: If the study is damaged.
        ConfigurationError: If another study lies at the target.
    """
    return _transfer(source, target, strict=True)


def repair(source: Storage, target: Storage) -> Copied:
    """Makes a sound study of a damaged one: as much of its log as can be read or restored from segments, and the
    files that are what was uploaded. The damaged study stays as it is.

    Raises:
        StudyError: If not even its first entry can be read.
        ConfigurationError: If another study lies at the target.
    """
    return _transfer(source, target, strict=False)


def _transfer(source: Storage, target: Storage, strict: bool) -> Copied:
    last = last_number(source)
    if last == 0:
        raise StudyNotFound(f"There is no study at {source.url}. Check the URL.")
    if source.url == target.url or target.get(layout.STUDY) is not None:
        raise ConfigurationError(f"There is a study at {target.url} already. Copy to an empty place.")
    target.check_shared()
    copied = Copied()
    state, about = _copy_log(source, target, last, strict, copied)
    lacking = _copy_files(source, target, state, strict, copied)
    _copy_exports(source, target, strict, copied)
    target.put_if_absent(layout.STUDY, about)
    study = Study.open(target)
    for trial_id, names in lacking.items():
        _give_up_files(study, trial_id, names)
    return copied


def _copy_log(
    source: Storage, target: Storage, last: int, strict: bool, copied: Copied
) -> tuple[StudyState, bytes]:
    state: StudyState | None = None
    about = b""
    sealer = Sealer(target)
    for reading in read_log(source, last):
        if state is None:
            study_id, about = _identity(source, reading, strict)
            state = StudyState(study_id)
        taken, problem = _sound(source, state, reading)
        if problem is not None:
            if strict or reading.n == 1:
                raise problem
            copied.lost.append((layout.log(reading.n), str(problem)))
            beyond = last - reading.n
            if beyond:
                copied.lost.append((layout.log(reading.n + 1), f"it and {beyond - 1} later ones hang on it"))
            break
        if taken is not reading:
            copied.lost.append((layout.log(reading.n), "was restored from its segment"))
        data = taken.data or b""
        if (
            not target.put_if_absent(layout.log(reading.n), data)
            and target.get(layout.log(reading.n)) != data
        ):
            raise ConfigurationError(
                f"{target.url}/{layout.log(reading.n)} is of another study, or of this one after it went another way. "
                "Copy to an empty place."
            )
        sealer.add(reading.n, data)
        sealer.seal()
        if snapshots.is_due(reading.n) and reading.n + snapshots.spacing(reading.n) > last:
            target.put(*snapshots.encode(state))
        copied.commits += 1
    if state is None:
        raise StudyNotFound(f"There is no study at {source.url}. Check the URL.")
    return Study.at_number(target, state.study_id, copied.commits).state, about


def _sound(source: Storage, state: StudyState, reading: Reading) -> tuple[Reading, StudyError | None]:
    """Folds the entry, or what its segment has in its place."""
    problem = reading.problem
    if problem is None and (reading.entry or {}).get("prev_sha256") == state.last_sha256:
        return reading, fold_next(state, reading)
    spare = from_segment(source, reading.n, state.last_sha256)
    if spare is not None:
        return spare, fold_next(state, spare)
    return reading, problem or fold_next(state, reading)


def _identity(source: Storage, first: Reading, strict: bool) -> tuple[str, bytes]:
    """The study's id and the bytes of its `study.json`, made anew from the first entry where it is damaged."""
    named = None if first.entry is None else first.entry["study_id"]
    try:
        study_id = study_id_of(source)
        data = source.get(layout.STUDY)
        if study_id is not None and data is not None and (strict or named in (None, study_id)):
            return study_id, data
        problem: StudyError = StudyError(f"{source.url}/{layout.STUDY} is missing, or another study's.")
    except StudyError as error:
        problem = error
    if strict or first.entry is None:
        raise problem
    about = {"format": layout.FORMAT, "study_id": first.entry["study_id"], "created": first.entry["time"]}
    return str(first.entry["study_id"]), (json.dumps(about) + "\n").encode()


def _copy_files(
    source: Storage, target: Storage, state: StudyState, strict: bool, copied: Copied
) -> dict[str, list[str]]:
    """Copies the files that trials list; those that could not be, by trial."""
    lacking: dict[str, list[str]] = {}
    for trial_id, lease in state.leases.items():
        for file in lease.get("files", []):
            key = layout.attempt_file(state.generation, trial_id, lease["attempt"], file["name"])
            wrong = file_problem(source, key, file)
            if wrong is None:
                _copy_file(source, target, key)
                copied.files += 1
            elif strict:
                raise StudyError(
                    f"{source.url}/{key} {wrong}. Make a sound copy with `ktcomponent study repair`."
                )
            else:
                copied.lost.append((key, wrong))
                lacking.setdefault(trial_id, []).append(file["name"])
    return lacking


def _copy_exports(source: Storage, target: Storage, strict: bool, copied: Copied) -> None:
    for manifest in source.list("exports"):
        if not manifest.endswith("/manifest.json"):
            continue
        folder = manifest.rsplit("/", 1)[0]
        files = listed_files(source, manifest)
        if files is None:
            damaged = ["its manifest is damaged"]
        else:
            wrong = {f["name"]: file_problem(source, f"{folder}/{f['name']}", f) for f in files}
            damaged = [f"{name} {problem}" for name, problem in wrong.items() if problem]
        if damaged and strict:
            raise StudyError(
                f"The export {source.url}/{folder} can't be copied: {'; '.join(damaged)}. Export again, or remove it."
            )
        if damaged or files is None:
            copied.lost.append((folder, "; ".join(damaged)))
            continue
        for key in [*(f"{folder}/{file['name']}" for file in files), manifest]:
            _copy_file(source, target, key)
            copied.files += 1


def _copy_file(source: Storage, target: Storage, key: str) -> None:
    with tempfile.TemporaryDirectory(prefix="ktcomponent-") as scratch:
        path = Path(scratch, "file")
        source.download(key, path)
        target.upload(path, key)


def _give_up_files(study: Study, trial_id: str, names: list[str]) -> None:
    """Commits to the repaired study that files of a trial are gone."""
    writer = Writer("repair", incarnations.new_incarnation())
    attempt = study.state.leases[trial_id]["attempt"]
    extra = {"files": names, "reason": "lost before the repair"}
    study.commit(writer, lambda _: Draft("drop", trial_id, attempt, extra=extra))
