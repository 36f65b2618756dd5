"""Files of a trial's attempt: uploaded before the commit that lists them, verified when they are loaded."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ktcomponent.errors import CorruptEntry, MissingEntry
from ktcomponent.storage import Storage
from ktcomponent.study import layout

File = dict[str, Any]
"""`name` (a path relative to the attempt), `size` in bytes and `sha256` of one file."""


def upload(storage: Storage, generation: int, trial_id: str, attempt: int, folder: Path) -> list[File]:
    """Uploads all files below a local folder; returns what a `finish` lists."""
    files = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        storage.upload(path, layout.attempt_file(generation, trial_id, attempt, name))
        files.append({"name": name, "size": path.stat().st_size, "sha256": digest(path)})
    return files


def download(
    storage: Storage, generation: int, trial_id: str, lease: Mapping[str, Any], folder: Path
) -> None:
    """Fetches the files of a finished trial into a local folder, all of them or none.

    Args:
        storage: The study's storage.
        generation: The study's generation.
        trial_id: The trial.
        lease: Its entry in the state's leases.
        folder: Where to; must not exist, or be empty.

    Raises:
        MissingEntry: If a listed file is gone.
        CorruptEntry: If one is not what was uploaded.
    """
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as scratch:
        whole = Path(scratch, "files")
        whole.mkdir()
        for file in lease.get("files", []):
            _download_one(storage, generation, trial_id, lease["attempt"], file, whole)
        os.replace(whole, folder)


def _download_one(
    storage: Storage, generation: int, trial_id: str, attempt: int, file: File, folder: Path
) -> None:
    key = layout.attempt_file(generation, trial_id, attempt, file["name"])
    path = folder / file["name"]
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CorruptEntry(f"Trial {trial_id} lists a file outside its folder: {file['name']!r}.")
    if not storage.download(key, path):
        raise MissingEntry(f"{storage.url}/{key} is missing; trial {trial_id} can't be loaded without it.")
    if digest(path) != file["sha256"]:
        raise CorruptEntry(
            f"{storage.url}/{key} is not what trial {trial_id} uploaded: its checksum differs."
        )


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
