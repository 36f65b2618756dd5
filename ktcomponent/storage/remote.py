"""Any other fsspec file system: object storage that creates exclusively when asked to."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import tenacity

from ktcomponent.errors import ConfigurationError, StorageError
from ktcomponent.storage.base import Storage, check_key
from ktcomponent.storage.probe import probe
from ktcomponent.storage.secret import hide, secrets_in

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
"""The extra that brings each file system whose exclusive create many processes may rely on."""

REQUEST_S, LEAST_S = 60.0, 5.0
"""A small object that takes longer than this, or than the budget if that is less, is asked for again."""
_FOR_GOOD = frozenset([400, 401, 403, 404, 405, 409, 412, 501])
_PROBED: set[tuple[int, str]] = set()
_PROBING = threading.Lock()


class RemoteStorage(Storage):
    """See `Storage`. What fails and may pass (time-outs, 429, 5xx, dropped connections) is tried again.

    Args:
        url: An fsspec URL.
        options: The file system's constructor arguments, beside those from fsspec's configuration files and from
            the environment (`FSSPEC_<PROTOCOL>_<NAME>`).
        single_writer: Says that one process at a time writes, so that a file system without exclusive create
            will do.
        retry_s: For how many seconds one operation is tried again.

    Raises:
        ConfigurationError: If there is no such file system, or its package isn't installed.
    """

    def __init__(self, url: str, options: dict[str, Any], single_writer: bool, retry_s: float) -> None:
        super().__init__(hide(url.rstrip("/")))
        self._location = url.rstrip("/")
        self._scheme = url.split("://", 1)[0]
        self._options = options
        self._single_writer = single_writer
        self._retry_s = retry_s
        self._pid: int | None = None
        self._connect()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        if self._single_writer:
            return self.get(key) is None and self._put_alone(key, data)
        try:
            self._try(
                "write", key, lambda: self._bounded("_pipe_file", "pipe_file", path, data, mode="create")
            )
        except StorageError as error:
            if isinstance(error.__cause__, FileExistsError):
                return False
            # Some servers answer a lost race with another error: what is stored tells.
            stored = self.get(key)
            if stored is None:
                raise
            return stored == data
        return True

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        self._try("write", key, lambda: self._bounded("_pipe_file", "pipe_file", path, data))

    def get_many(self, keys: Sequence[str], limit: int | None = None) -> list[bytes | None]:
        found: list[bytes | None] = [None] * len(keys)
        wanted = list(range(len(keys)))

        def attempt() -> None:
            paths = [self._path(keys[i]) for i in wanted]
            starts = [None if limit is None else 0] * len(paths)
            ends = [None if limit is None else limit + 1] * len(paths)
            # One request a key; `cat_file` takes two on s3.
            answers = self._bounded(
                "_cat_ranges", "cat_ranges", paths, starts, ends, on_error="return", batch_size=64
            )
            failed = []
            for i, answer in zip(list(wanted), answers, strict=True):
                if isinstance(answer, Exception):
                    if _is_empty(answer):
                        found[i] = b""
                    elif not isinstance(answer, FileNotFoundError):
                        failed.append((i, answer))
                else:
                    found[i] = bytes(answer)
            wanted[:] = [i for i, _ in failed]
            if failed:
                raise failed[0][1]

        if wanted:
            self._try("read", keys[0], attempt)
        return found

    def list(self, prefix: str) -> list[str]:
        top = self._path(prefix) if prefix else self._root
        root = self._root.strip("/") + "/"

        def attempt() -> Sequence[str]:
            try:
                return tuple(self._fs.find(top))
            except FileNotFoundError:
                return ()

        paths = self._try("list", prefix, attempt)
        return sorted(str(path).lstrip("/").removeprefix(root) for path in paths)

    def folders(self) -> Sequence[str]:
        def attempt() -> Sequence[str]:
            try:
                entries = self._bounded("_ls", "ls", self._root, detail=True)
            except FileNotFoundError:
                return ()
            return tuple(str(entry["name"]) for entry in entries if entry["type"] == "directory")

        paths = self._try("list", "", attempt)
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in paths)

    def delete(self, key: str) -> None:
        path = self._path(key)

        def attempt() -> None:
            try:
                self._fs.rm_file(path)
            except FileNotFoundError:
                return

        self._try("remove", key, attempt)

    def upload(self, path: Path, key: str) -> None:
        remote = self._path(key)
        self._try("write", key, lambda: self._fs.put_file(str(path), remote))

    def download(self, key: str, path: Path) -> bool:
        remote = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)

        def attempt() -> bool:
            try:
                self._fs.get_file(remote, str(path))
            except FileNotFoundError:
                return False
            return True

        return self._try("read", key, attempt)

    def side_by_side(self, actions: Sequence[Callable[[], Any]]) -> Sequence[Any]:
        with ThreadPoolExecutor(min(len(actions), 16) or 1) as pool:
            return list(pool.map(lambda action: action(), actions))

    def check_writable(self) -> None:
        key = f".writable-{os.urandom(8).hex()}"
        try:
            self.put(key, b"")
            self.delete(key)
        except StorageError as error:
            raise ConfigurationError(f"{self.url} can't be written to. {error}") from error

    def trust_shared(self) -> None:
        _PROBED.add(self._place())

    def check_shared(self) -> None:
        if self._single_writer:
            self.check_writable()
            return
        if self._scheme not in _EXTRAS:
            raise ConfigurationError(
                f"{self.url} can't hold a study of several workers: fsspec's {self._scheme}:// has no exclusive "
                "create that was found to be safe, so two workers could both believe that they made a commit. Use "
                "file://, s3://, gs:// or abfs://; or say `single_writer` (storage options "
                '{"single_writer": true}) if there will only ever be one worker at a time.'
            )
        place = self._place()
        with _PROBING:
            if place not in _PROBED:
                try:
                    probe(self)
                except StorageError as error:
                    if error.__cause__ is None or _may_pass(error.__cause__):
                        raise
                    raise ConfigurationError(f"{self.url} can't be written to. {error}") from error
                _PROBED.add(place)

    def _place(self) -> tuple[int, str]:
        """This process and the bucket, for which it is found out once."""
        bucket = self._root.strip("/").split("/")[0]
        server = getattr(self._fs, "storage_options", None), os.environ.get("STORAGE_EMULATOR_HOST")
        return os.getpid(), f"{self._scheme}://{bucket} {server}"

    def _put_alone(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True

    def _path(self, key: str) -> str:
        if os.getpid() != self._pid:
            self._connect()
        return f"{self._root}/{check_key(key)}"

    def _connect(self) -> None:
        # An asynchronous file system that was made before a fork fails in the child: make one per process.
        from fsspec.core import url_to_fs

        scheme = self._scheme
        if scheme in ("gs", "gcs") and os.environ.get("STORAGE_EMULATOR_HOST", "").startswith("http://"):
            # Without this gcsfs asks an emulator for something it doesn't have, and waits a minute.
            os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        try:
            self._fs, self._root = url_to_fs(
                self._location, use_listings_cache=False, skip_instance_cache=True, **self._options
            )
        except ImportError as error:
            extra = _EXTRAS.get(scheme)
            remedy = f"pip install 'ktcomponent[{extra}]'" if extra else "install the package named here"
            raise ConfigurationError(
                f"{scheme}:// needs a package that isn't installed ({error}). Do this: {remedy}."
            ) from error
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{self.url} can't be opened by fsspec: {self._describe(error)}. Check the URL and the storage options."
            ) from error
        # What goes wrong comes back as an exception, and is told by it.
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
        self._pid = os.getpid()

    def _bounded(self, coroutine: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Calls the file system, for `REQUEST_S` at most where it is an asynchronous one.

        Clients try again by themselves, too, for minutes: the budget holds for that as well.
        """
        if getattr(self._fs, "async_impl", False):
            from fsspec.asyn import sync

            return sync(
                self._fs.loop,
                getattr(self._fs, coroutine),
                *args,
                timeout=min(REQUEST_S, max(self._retry_s, LEAST_S)),
                **kwargs,
            )
        kwargs.pop("batch_size", None)
        return getattr(self._fs, method)(*args, **kwargs)

    def _try(self, verb: str, key: str, action: Callable[[], T]) -> T:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=tenacity.stop_after_delay(self._retry_s),
            wait=tenacity.wait_random_exponential(0.1, max=10),
            sleep=self.clock.sleep,
            reraise=True,
        )
        try:
            return retrying(action)
        except Exception as error:
            raise StorageError(f"Can't {verb} {self.url}/{key}: {self._describe(error)}.") from error

    def _describe(self, error: BaseException) -> str:
        return hide(f"{type(error).__name__}: {error}", secrets_in(self._options))[:500].rstrip(".")


def _may_pass(error: BaseException) -> bool:
    """Whether an error of a client may be gone at the next try."""
    if isinstance(error, (FileExistsError, PermissionError, FileNotFoundError, ConfigurationError)):
        return False
    if isinstance(error, (TypeError, ValueError, NotImplementedError, AttributeError)):
        return False
    if not isinstance(error, Exception) or type(error).__name__ in _NO_CREDENTIALS:
        return False
    return _status(error) not in _FOR_GOOD


_NO_CREDENTIALS = (
    "NoCredentialsError",
    "ClientAuthenticationError",
    "RefreshError",
    "DefaultCredentialsError",
)


def _status(error: BaseException) -> int | None:
    """The HTTP status that a client's error carries, if any."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        response = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for status in (
        getattr(error, "status_code", None),
        getattr(error, "status", None),
        getattr(error, "code", None),
        getattr(response, "status_code", response),
    ):
        if str(status).isdigit():
            return int(str(status))
    cause = error.__cause__
    return None if cause is None else _status(cause)


def _is_empty(error: BaseException) -> bool:
    """Whether a range was refused because the object has no bytes."""
    told = str(error).lower()
    return _status(error) == 416 or "invalidrange" in told or "range not satisfiable" in told
