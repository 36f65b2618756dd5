"""Any other fsspec file system: object storage that creates exclusively when asked to."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ktcomponent.errors import ConfigurationError, StorageError
from ktcomponent.storage.base import Storage, check_key

T = TypeVar("T")

_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "abfs": "azure",
    "abfss": "azure",
    "az": "azure",
}


class RemoteStorage(Storage):
    """See `Storage`.

    Args:
        url: An fsspec URL.
        options: The file system's constructor arguments.

    Raises:
        ConfigurationError: If there is no such file system, or its package isn't installed.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        super().__init__(url.rstrip("/"))
        self._options = options
        self._pid: int | None = None
        self._connect()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        try:
            self._fs.pipe_file(self._path(key), data, mode="create")
        except FileExistsError:
            return False
        except Exception as error:
            # Some servers answer a lost race with another error: what is stored tells.
            stored = self.get(key)
            if stored is None:
                raise StorageError(f"Can't write {self.url}/{key}: {_describe(error)}.") from error
            return stored == data
        return True

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        self._try("write", key, lambda: self._fs.pipe_file(path, data))

    def get(self, key: str) -> bytes | None:
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        paths = [self._path(key) for key in keys]
        none = [None] * len(paths)
        # One request a key; `cat_file` takes two on s3.
        answers = self._try(
            "read", keys[0], lambda: self._fs.cat_ranges(paths, none, none, on_error="return")
        )
        found: list[bytes | None] = []
        for key, answer in zip(keys, answers, strict=True):
            if isinstance(answer, FileNotFoundError):
                found.append(None)
            elif isinstance(answer, Exception):
                raise StorageError(f"Can't read {self.url}/{key}: {_describe(answer)}.") from answer
            else:
                found.append(bytes(answer))
        return found

    def list(self, prefix: str) -> list[str]:
        top = self._path(prefix)
        paths = self._try("list", prefix, lambda: self._fs.find(top))
        root = self._root.rstrip("/") + "/"
        return sorted(str(path).lstrip("/").removeprefix(root.lstrip("/")) for path in paths)

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return
        except Exception as error:
            raise StorageError(f"Can't remove {self.url}/{key}: {_describe(error)}.") from error

    def upload(self, path: Path, key: str) -> None:
        remote = self._path(key)
        self._try("write", key, lambda: self._fs.put_file(str(path), remote))

    def download(self, key: str, path: Path) -> bool:
        remote = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._fs.get_file(remote, str(path))
        except FileNotFoundError:
            return False
        except Exception as error:
            raise StorageError(f"Can't read {self.url}/{key}: {_describe(error)}.") from error
        return True

    def check_writable(self) -> None:
        key = f".writable-{os.urandom(8).hex()}"
        try:
            self.put(key, b"")
            self.delete(key)
        except StorageError as error:
            raise ConfigurationError(f"{self.url} can't be written to. {error}") from error

    def _path(self, key: str) -> str:
        if os.getpid() != self._pid:
            self._connect()
        return f"{self._root}/{check_key(key)}"

    def _connect(self) -> None:
        # An asynchronous file system that was made before a fork fails in the child: make one per process.
        from fsspec.core import url_to_fs

        scheme = self.url.split("://", 1)[0]
        if scheme in ("gs", "gcs") and os.environ.get("STORAGE_EMULATOR_HOST", "").startswith("http://"):
            # Without this gcsfs asks an emulator for something it doesn't have, and waits a minute.
            os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        try:
            self._fs, self._root = url_to_fs(
                self.url, use_listings_cache=False, skip_instance_cache=True, **self._options
            )
        except ImportError as error:
            extra = _EXTRAS.get(scheme)
            remedy = f"pip install 'ktcomponent[{extra}]'" if extra else "install the package named here"
            raise ConfigurationError(
                f"{scheme}:// needs a package that isn't installed ({error}). Do this: {remedy}."
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"{self.url} is no URL that fsspec knows: {error}.") from error
        self._pid = os.getpid()

    def _try(self, verb: str, key: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except Exception as error:
            raise StorageError(f"Can't {verb} {self.url}/{key}: {_describe(error)}.") from error


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
