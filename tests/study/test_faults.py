"""Crash tests by construction: every operation of a whole run fails once, in every way; nothing is ever lost."""

import errno
import json
import os

import pytest

from ktcomponent.errors import ConfigurationError, KtcomponentError, StorageError
from ktcomponent.maintenance.verify import verify
from ktcomponent.storage import MemoryStorage, open_storage
from ktcomponent.study import Study, segments, snapshots, upkeep
from tests.study.faulty import (
    Died,
    FaultyStorage,
    Worker,
    check_files,
    check_outcome,
    finish_search,
    whole_run,
)

FAULTS = ["dies before", "dies after", "request lost", "reply lost", "late", "twice", "delayed"]


@pytest.fixture(autouse=True)
def _small_distances(monkeypatch):
    """So that a run of a few trials has segments and snapshots, and removes some."""
    monkeypatch.setattr(segments, "SMALL", 4)
    monkeypatch.setattr(segments, "LARGE", 16)
    monkeypatch.setattr(snapshots, "SPACING", 8)
    monkeypatch.setattr(snapshots, "SHARE", 10**9)
    monkeypatch.setattr(snapshots, "KEPT", 1)
    monkeypatch.setattr(upkeep, "COMMITS_KEPT", 0)


def count_operations(tmp_path):
    storage = FaultyStorage(f"{tmp_path}/counted")
    whole_run(storage, tmp_path / "counted")
    check_files(*check_outcome(storage.url.removeprefix("memory://")), tmp_path)
    return storage


def test_a_run_without_faults_does_everything_once(tmp_path):
    storage = count_operations(tmp_path)
    kinds = {key.split("/")[0] for key in MemoryStorage(storage.url.removeprefix("memory://")).list("")}
    assert kinds == {"log", "snapshots", "study.json", "trials"}  # the snapshot has covered all segments
    assert set(storage.verbs) == {"put_if_absent", "put", "get_many", "list", "delete"}


def run_with(fault, at, tmp_path):
    path = f"{tmp_path}/{fault}-{at}"
    folder = tmp_path / f"{fault}-{at}"

    def meanwhile():
        finish_search(path, folder, "meanwhile")

    storage = FaultyStorage(path, fault, at, meanwhile)
    try:
        whole_run(storage, folder)
    except (Died, StorageError):
        pass
    except KtcomponentError as error:
        # The person came too late, or asked while storage failed.
        if "enqueue" not in str(error) and "no room" not in str(error):
            raise
    finish_search(path, folder)
    check_files(*check_outcome(path, enqueued="enqueue" in _operations(path)), folder)
    forget(path)


def forget(path):
    """All storages in memory share one name space, which is searched through whenever a folder is listed."""
    storage = MemoryStorage(path)
    for key in storage.list(""):
        storage.delete(key)


def _operations(path):
    storage = MemoryStorage(path)
    return [json.loads(storage.get(key))["op"] for key in storage.list("log")]


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 29])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_operation_loses_nothing(fault, every, tmp_path):
    total = count_operations(tmp_path).operations
    assert total > 100
    for at in range(1, total + 1, every):
        run_with(fault, at, tmp_path)


@pytest.mark.parametrize("at", [1, 2, 5, 9, 17, 40])
def test_a_full_disk_ends_with_a_storage_error_and_leaves_nothing_half_written(at, tmp_path, monkeypatch):
    """From the n-th write on the disk is full; when there is room again, another worker goes on."""
    writes = 0
    synced = os.fsync

    def full(descriptor):
        nonlocal writes
        writes += 1
        if writes >= at:
            raise OSError(errno.ENOSPC, "No space left on device")
        synced(descriptor)

    storage = open_storage(tmp_path / "study")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises((StorageError, ConfigurationError), match="No space left"):
            Worker(storage, "first", tmp_path / "work").search()
    Worker(storage, "first", tmp_path / "work").run()
    assert verify(storage).problems == []
    assert {lease["state"] for lease in Study.open(storage).state.leases.values()} == {"ended"}
    assert not list((tmp_path / "study").rglob(".part-*"))
