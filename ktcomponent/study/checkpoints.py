"""Checkpoints from which a trial goes on inside: files and a manifest, below the attempt that wrote them.

    trials/<trial>/<generation>-<attempt>/resume/files/<sha256>     contents, each once
    trials/<trial>/<generation>-<attempt>/resume/<20-digit k>.json  the k-th checkpoint: what it says, and its files

The manifest is written last, so a checkpoint that can be seen is whole; what doesn't fit its checksums is as good as
none. The log doesn't list them: they are a worker's own, and they are gone once its trial has ended.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ktcomponent.errors import StorageError
from ktcomponent.storage import Storage
from ktcomponent.study import entry as entries
from ktcomponent.study import layout
from ktcomponent.study.artifacts import digest

FORMAT = 1
KEPT = 2
MAX_MANIFEST = 256 * 1024 * 1024
_MANIFEST = re.compile(r"trials/[^/]+/(\d+)-(\d+)/resume/(\d{20})\.json")


@dataclass(frozen=True)
class Place:
    """The attempt that writes checkpoints.

    Attributes:
        generation, trial_id, attempt: Which one.
        first: The first attempt of the same run, whose checkpoints count too.
    """

    generation: int
    trial_id: str
    attempt: int
    first: int = 1

    @property
    def folder(self) -> str:
        return f"{layout.attempt_folder(self.generation, self.trial_id, self.attempt)}/resume"


class CheckpointWriter:
    """Writes the checkpoints of one attempt, one at a time.

    Args:
        storage: The study's storage.
        place: The attempt.
    """

    def __init__(self, storage: Storage, place: Place) -> None:
        self._storage = storage
        self._place = place
        self._count = 0
        self._stored: dict[int, set[str]] = {}

    def write(self, said: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """Uploads what is not there yet, then the manifest; removes older checkpoints.

        Args:
            said: What the checkpoint says, as JSON.
            files: By name; left as they are.

        Raises:
            StorageError: If that failed; an earlier checkpoint stays.
        """
        listed = {name: {"size": path.stat().st_size, "sha256": digest(path)} for name, path in files.items()}
        there = set().union(*self._stored.values())
        for name, path in files.items():
            sha256 = str(listed[name]["sha256"])
            if sha256 not in there:
                self._storage.upload(path, self._key(sha256))
        manifest = {
            "format": FORMAT,
            "trial": self._place.trial_id,
            "attempt": self._place.attempt,
            "said": said,
            "files": listed,
        }
        body = entries.dumps(manifest).encode()
        checksum = hashlib.sha256(body).hexdigest().encode()
        self._storage.put(f"{self._place.folder}/{self._count:020d}.json", body + b"\n" + checksum + b"\n")
        self._stored[self._count] = {str(file["sha256"]) for file in listed.values()}
        self._count += 1
        self._remove_older()

    def _key(self, sha256: str) -> str:
        return f"{self._place.folder}/files/{sha256}"

    def _remove_older(self) -> None:
        for number in sorted(self._stored)[:-KEPT]:
            gone = self._stored.pop(number)
            self._storage.delete(f"{self._place.folder}/{number:020d}.json")
            for sha256 in gone - set().union(*self._stored.values()):
                self._storage.delete(self._key(sha256))


def newest(storage: Storage, place: Place, folder: Path) -> tuple[dict[str, Any], dict[str, Path]] | None:
    """The newest whole checkpoint of the run that an attempt goes on with, its files fetched and verified.

    Args:
        storage: The study's storage.
        place: The attempt that wants to go on.
        folder: Where the files go, below it.

    Returns:
        What it says, and the files by name; None where there is none.
    """
    found = []
    for key in storage.list(f"trials/{layout.safe(place.trial_id)}"):
        match = _MANIFEST.fullmatch(key)
        if match and int(match[1]) == place.generation and place.first <= int(match[2]) < place.attempt:
            found.append((int(match[2]), int(match[3]), key))
    for _, _, key in sorted(found, reverse=True):
        try:
            loaded = _load(storage, key, place, folder)
        except (OSError, StorageError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if loaded is not None:
            return loaded
    return None


def _load(
    storage: Storage, key: str, place: Place, folder: Path
) -> tuple[dict[str, Any], dict[str, Path]] | None:
    data = storage.get(key, MAX_MANIFEST) or b""
    body, _, checksum = data.rstrip(b"\n").rpartition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        return None
    manifest = json.loads(body)
    if manifest["format"] != FORMAT or manifest["trial"] != place.trial_id:
        return None
    top = key.rsplit("/", 1)[0]
    paths: dict[str, Path] = {}
    for name, file in manifest["files"].items():
        if not re.fullmatch(r"[0-9a-f]{64}", file["sha256"]):
            return None
        path = folder / file["sha256"]
        if not storage.download(f"{top}/files/{file['sha256']}", path):
            return None
        if path.stat().st_size != file["size"] or digest(path) != file["sha256"]:
            return None
        paths[name] = path
    return entries.revive(manifest["said"]), paths


def remove_all(storage: Storage, place: Place) -> None:
    """Removes the checkpoints of all attempts of a trial that has ended; what fails is left for `gc`."""
    prefix = f"trials/{layout.safe(place.trial_id)}"
    try:
        keys = [key for key in storage.list(prefix) if "/resume/" in key]
        storage.side_by_side([functools.partial(storage.delete, key) for key in keys])
    except StorageError:
        return
