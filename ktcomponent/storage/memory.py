"""Objects in this process's memory, for tests and for searches that need not outlive it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ktcomponent.storage.base import Storage, check_key

_LOCK = threading.Lock()
_OBJECTS: dict[str, bytes] = {}


class MemoryStorage(Storage):
    """See `Storage`. All `memory://` storages of a process share one name space, as in fsspec.

    fsspec's own memory file system checks and then writes; here a lock makes `put_if_absent` one step.

    Args:
        path: The part of the URL behind `memory://`.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"memory://{path}")
        self._prefix = path.strip("/") + "/"

    def put_if_absent(self, key: str, data: bytes) -> bool:
        with _LOCK:
            return _OBJECTS.setdefault(self._prefix + check_key(key), data) is data

    def put(self, key: str, data: bytes) -> None:
        with _LOCK:
            _OBJECTS[self._prefix + check_key(key)] = data

    def get_many(self, keys: Sequence[str], limit: int | None = None) -> list[bytes | None]:
        end = None if limit is None else limit + 1
        found = [_OBJECTS.get(self._prefix + check_key(key)) for key in keys]
        return [None if data is None else data[:end] for data in found]

    def list(self, prefix: str) -> list[str]:
        top = f"{self._prefix}{check_key(prefix)}/" if prefix else self._prefix
        with _LOCK:
            return sorted(name.removeprefix(self._prefix) for name in _OBJECTS if name.startswith(top))

    def folders(self) -> Sequence[str]:
        return sorted({key.split("/")[0] for key in self.list("") if "/" in key})

    def delete(self, key: str) -> None:
        with _LOCK:
            _OBJECTS.pop(self._prefix + check_key(key), None)

    def check_writable(self) -> None:
        """Memory can always be written to."""
