"""A folder of a local (or well mounted) file system.

fsspec's own `mode="create"` checks and then writes, so two processes can both win; here an object is written
aside, synced, and published by `link(2)`, which fails where the name exists.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from ktcomponent.errors import ConfigurationError, StorageError
from ktcomponent.storage.base import Storage, check_key

_ASIDE = ".part-"


class LocalStorage(Storage):
    """See `Storage`.

    Args:
        root: The folder; it is made when something is first written.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(f"file://{root}")
        self.root = root
        self._is_checked = False

    def put_if_absent(self, key: str, data: bytes) -> bool:
        try:
            self._publish(key, data, _link)
        except FileExistsError:
            return False
        return True

    def put(self, key: str, data: bytes) -> None:
        self._publish(key, data, _replace)

    def get_many(self, keys: Sequence[str], limit: int | None = None) -> list[bytes | None]:
        return [self._read(key, limit) for key in keys]

    def list(self, prefix: str) -> list[str]:
        top = self._path(prefix) if prefix else self.root
        return sorted(
            path.relative_to(self.root).as_posix()
            for path in top.rglob("*")
            if path.is_file() and not path.name.startswith(_ASIDE)
        )

    def folders(self) -> Sequence[str]:
        return (
            sorted(path.name for path in self.root.iterdir() if path.is_dir()) if self.root.is_dir() else []
        )

    def delete(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"Can't remove {self.url}/{key}: {error}.") from error

    def check_writable(self) -> None:
        # Tried in the nearest folder that exists: making the study's own would race with other writers.
        folder = next(p for p in (self.root, *self.root.parents) if p.exists())
        try:
            with tempfile.TemporaryDirectory(prefix=_ASIDE, dir=folder) as scratch:
                here = Path(scratch, "a")
                here.write_bytes(b"")
                os.link(here, Path(scratch, "b"))
        except OSError as error:
            raise ConfigurationError(
                f"{self.url} can't be written to ({error}). Expected a folder on a file system with hard links, "
                "and the right to write there."
            ) from error

    def check_shared(self) -> None:
        """What publishes an object here fails where the name exists: `link(2)`, which a file system may lack."""
        if not self._is_checked:
            self.check_writable()
            self._is_checked = True

    def upload(self, path: Path, key: str) -> None:
        try:
            with path.open("rb") as file:
                self._publish(key, file, _replace)
        except OSError as error:
            raise StorageError(f"Can't copy {path} to {self.url}/{key}: {error}.") from error

    def download(self, key: str, path: Path) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(self._path(key), path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StorageError(f"Can't copy {self.url}/{key} to {path}: {error}.") from error
        return True

    def _read(self, key: str, limit: int | None) -> bytes | None:
        try:
            with self._path(key).open("rb") as file:
                return file.read(-1 if limit is None else limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"Can't read {self.url}/{key}: {error}.") from error

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _publish(self, key: str, data: bytes | BinaryIO, publish: Callable[[str, Path], None]) -> None:
        path = self._path(key)
        try:
            _make_folder(path.parent)
        except OSError as error:
            raise StorageError(f"Can't write {self.url}/{key}: {error}.") from error
        for named in (False, True):
            try:
                with _written_aside(path.parent, data, named) as aside:
                    publish(aside, path)
                    _sync_folder(path.parent)
                return
            except FileExistsError:
                raise
            except OSError as error:
                if named:
                    raise StorageError(f"Can't write {self.url}/{key}: {error}.") from error


def _link(aside: str, path: Path) -> None:
    # Python follows the link in /proc only where it has a directory to start from, which an absolute path ignores.
    start = os.open("/", os.O_RDONLY)
    try:
        os.link(aside, path, src_dir_fd=start, follow_symlinks=True)
    finally:
        os.close(start)


def _replace(aside: str, path: Path) -> None:
    named = path.with_name(f"{_ASIDE}{secrets.token_hex(8)}")
    _link(aside, named)
    os.replace(named, path)


@contextlib.contextmanager
def _written_aside(folder: Path, data: bytes | BinaryIO, named: bool) -> Iterator[str]:
    """The path of a synced file with these bytes, which is gone afterwards.

    Args:
        folder: On whose file system.
        data: The bytes, or a file that has them.
        named: Whether the file has a name in the folder. Without one even a writer that is killed leaves nothing
            half written behind, but not every system can publish such a file.
    """
    if named:
        descriptor, aside = tempfile.mkstemp(prefix=_ASIDE, dir=folder)
        os.chmod(aside, 0o666 & ~_UMASK)
    else:
        descriptor = os.open(folder, getattr(os, "O_TMPFILE", os.O_EXCL) | os.O_WRONLY, 0o666)
        aside = f"/proc/self/fd/{descriptor}"
    try:
        with os.fdopen(descriptor, "wb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                data.seek(0)
                shutil.copyfileobj(data, file)
            file.flush()
            os.fsync(file.fileno())
            yield aside
    finally:
        if named:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


# mkstemp makes files for their owner only; a study is shared like any other file, so the umask decides.
_UMASK = _read_umask()
