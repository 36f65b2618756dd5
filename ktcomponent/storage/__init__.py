"""Storage for studies: exclusive create, read, list and remove, over fsspec."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ktcomponent.storage.base import Storage
from ktcomponent.storage.local import LocalStorage
from ktcomponent.storage.memory import MemoryStorage

__all__ = ["LocalStorage", "MemoryStorage", "Storage", "open_storage"]

RETRY_S = 60.0


def open_storage(
    url: str | os.PathLike[str], *, single_writer: bool = False, retry_s: float = RETRY_S, **options: Any
) -> Storage:
    """The storage at a URL; nothing is written by this.

    Args:
        url: A path, `file://`, `memory://` or any fsspec URL.
        single_writer: Says that only one process at a time will write. With it any fsspec file system will do
            for a study; without, those that create exclusively: file, memory, s3, gs and abfs.
        retry_s: For how many seconds an operation on a remote storage is tried again.
        options: The fsspec file system's constructor arguments; they come before those from fsspec's
            configuration files and from the environment (`FSSPEC_S3_ENDPOINT_URL`, for example).

    Raises:
        ConfigurationError: If there is no such file system, or its package isn't installed.
    """
    text = os.fspath(url)
    if "://" not in text or text.startswith(("file://", "local://")):
        path = text.split("://", 1)[-1]
        return LocalStorage(Path(path).expanduser().absolute())
    if text.startswith("memory://"):
        return MemoryStorage(text.removeprefix("memory://"))
    # Brings packages that take longer to import than a step on a local disk.
    from ktcomponent.storage.remote import RemoteStorage

    return RemoteStorage(text, options, single_writer, retry_s)
