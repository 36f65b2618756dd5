"""The contract of a storage: a few verbs over keys.

A key is a relative path with forward slashes. The one promise everything above rests on is `put_if_absent`:
of several processes that create the same key at the same time, exactly one succeeds, and a reader sees all
of an object or nothing of it. There is no conditional overwrite: it is not portable.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ktcomponent.clock import SYSTEM, Clock
from ktcomponent.errors import ConfigurationError

_SEGMENT = re.compile(r"(?!\.\.?$)[^/\\\x00-\x1f]{1,255}")


class Storage(abc.ABC):
    """One folder of an object storage or of a file system.

    Args:
        url: Where it is, without credentials; for messages.

    Attributes:
        clock: By which those wait who work with this storage.
    """

    clock: Clock = SYSTEM

    def __init__(self, url: str) -> None:
        self.url = url

    @abc.abstractmethod
    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Creates an object unless the key exists; tells whether this call created it.

        False can be wrong where a reply was lost and the client tried again by itself: who must know reads
        the object back.

        Raises:
            StorageError: If it is not clear what happened.
        """

    @abc.abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Creates or replaces an object; a reader sees the old one or the new one. For keys with one writer."""

    def get(self, key: str, limit: int | None = None) -> bytes | None:
        """The object's bytes, or None where there is none.

        Args:
            key: The key.
            limit: Of a larger object only `limit + 1` bytes are read: enough to see that it is too large.
        """
        return self.get_many([key], limit)[0]

    @abc.abstractmethod
    def get_many(self, keys: Sequence[str], limit: int | None = None) -> list[bytes | None]:
        """Like `get`, for several keys, side by side where the storage can."""

    @abc.abstractmethod
    def list(self, prefix: str) -> list[str]:
        """All keys below the folder `prefix` (everything with ""), sorted; none where it doesn't exist."""

    @abc.abstractmethod
    def folders(self) -> Sequence[str]:
        """The names of the folders right below this place, sorted; none where it doesn't exist."""

    @abc.abstractmethod
    def delete(self, key: str) -> None:
        """Removes an object; nothing happens where there is none."""

    @abc.abstractmethod
    def check_writable(self) -> None:
        """Raises `ConfigurationError` where this place can't be written to; leaves nothing behind."""

    def check_shared(self) -> None:  # noqa: B027 - most storages keep it by construction
        """Makes sure that `put_if_absent` keeps its promise here; a study is not written to before.

        Raises:
            ConfigurationError: If it does not.
            StorageError: If that can't be found out now.
        """

    def trust_shared(self) -> None:  # noqa: B027 - nothing is checked where nothing needs to be
        """Says that another process has just made sure of what `check_shared` checks."""

    def side_by_side(self, actions: Sequence[Callable[[], Any]]) -> Sequence[Any]:
        """Does several things, at the same time where that saves waiting; returns their results."""
        return [action() for action in actions]

    def upload(self, path: Path, key: str) -> None:
        """Puts a local file."""
        self.put(key, path.read_bytes())

    def download(self, key: str, path: Path) -> bool:
        """Gets an object into a local file; tells whether there was one."""
        data = self.get(key)
        if data is None:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return True


def check_key(key: str) -> str:
    """Returns the key.

    Raises:
        ConfigurationError: If the key could leave its folder or isn't a name everywhere.
    """
    if not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise ConfigurationError(
            f"{key[:200]!r} is not a usable name: no '..', no empty part, no control characters, at most 255 "
            "characters between two slashes."
        )
    return key
