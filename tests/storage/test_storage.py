"""The contract of a storage: exactly one creator, whole objects, names that stay inside."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ktcomponent.errors import ConfigurationError, StorageError
from ktcomponent.storage import open_storage


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def storage(request, tmp_path):
    """An empty place of each kind."""
    if request.param == "s3":
        return open_storage(
            f"{request.getfixturevalue('s3')}{tmp_path}", endpoint_url=os.environ["FSSPEC_S3_ENDPOINT_URL"]
        )
    return open_storage(tmp_path / "place" if request.param == "file" else f"memory:/{tmp_path}")


def test_an_object_is_created_once(storage):
    assert storage.get("log/1") is None
    assert storage.put_if_absent("log/1", b"first")
    assert not storage.put_if_absent("log/1", b"second")
    assert storage.get("log/1") == b"first"


def test_of_many_creators_exactly_one_wins(storage):
    barrier = threading.Barrier(8)

    def create(n):
        barrier.wait()
        return [storage.put_if_absent(f"race/{k}", b"%d" % n) for k in range(50)]

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    for k in range(50):
        winners = [n for n in range(8) if won[n][k]]
        assert [storage.get(f"race/{k}")] == [b"%d" % n for n in winners]


def test_put_replaces_list_sees_and_delete_removes(storage):
    storage.put("a/one", b"1")
    storage.put("a/b/two", b"2")
    storage.put("a/one", b"11")
    assert storage.list("a") == ["a/b/two", "a/one"]
    assert storage.list("nothing") == []
    assert storage.get_many(["a/one", "a/none", "a/b/two"]) == [b"11", None, b"2"]
    storage.delete("a/one")
    storage.delete("a/one")
    assert storage.get("a/one") is None


def test_files_go_up_and_down(storage, tmp_path):
    source, target = tmp_path / "source", tmp_path / "folder" / "target"
    source.write_bytes(os.urandom(1000))
    storage.upload(source, "files/x")
    assert storage.download("files/x", target)
    assert target.read_bytes() == source.read_bytes()
    assert not storage.download("files/none", target)


@pytest.mark.parametrize("key", ["../out", "a/../b", "a//b", "", "a\x00b", "/etc/passwd", "x" * 300])
def test_a_name_that_could_leave_is_refused(storage, key):
    with pytest.raises(ConfigurationError):
        storage.put(key, b"")


def test_nothing_is_left_aside_by_local_writes(tmp_path):
    storage = open_storage(tmp_path)
    storage.put_if_absent("a/x", b"1")
    storage.put_if_absent("a/x", b"2")
    storage.put("a/y", b"3")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["x", "y"]


def test_checking_whether_a_place_is_writable_leaves_nothing(tmp_path):
    open_storage(tmp_path / "new" / "place").check_writable()
    assert list(tmp_path.iterdir()) == []
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigurationError, match="can't be written to"):
        open_storage(blocked / "study").check_writable()


def test_an_unknown_file_system_is_refused():
    with pytest.raises(ConfigurationError, match="fsspec"):
        open_storage("nosuchprotocol://bucket/study")


@pytest.mark.parametrize(("url", "extra"), [("gs://b/s", "gcs"), ("s3://b/s", "s3"), ("abfs://b/s", "azure")])
def test_a_missing_package_is_named_with_its_extra(url, extra, monkeypatch):
    def missing(*_, **__):
        raise ImportError("Please install it")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(ConfigurationError, match=rf"ktcomponent\[{extra}\]"):
        open_storage(url)


def test_files_without_a_name_are_not_needed(tmp_path, monkeypatch):
    link = os.link

    def as_without_proc(source, target, **kwargs):
        if str(source).startswith("/proc/"):
            raise FileNotFoundError(2, "No such file or directory")
        link(source, target, **kwargs)

    monkeypatch.setattr("ktcomponent.storage.local.os.link", as_without_proc)
    storage = open_storage(tmp_path)
    assert storage.put_if_absent("a/x", b"1")
    assert not storage.put_if_absent("a/x", b"2")
    storage.put("a/y", b"3")
    storage.put("a/y", b"4")
    assert (storage.get("a/x"), storage.get("a/y")) == (b"1", b"4")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["x", "y"]


def test_a_folder_that_is_a_file_is_no_lost_race(tmp_path):
    (tmp_path / "log").write_text("")
    storage = open_storage(tmp_path)
    for write in (storage.put_if_absent, storage.put):
        with pytest.raises(StorageError, match="log/1"):
            write("log/1", b"")
