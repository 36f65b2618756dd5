"""Other file systems: one writer only if one says so; credentials are never shown; a budget for what may pass."""

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from ktcomponent.errors import ConfigurationError, StorageError
from ktcomponent.storage import open_storage
from ktcomponent.storage.secret import hide, is_secret
from ktcomponent.study import Study, settings
from tests.study.faulty import Worker, check_outcome


class Plain(MemoryFileSystem):
    """A file system of which nobody knows whether it creates exclusively; it can fail a few times."""

    protocol = "plain"
    store: dict = {}
    pseudo_dirs = [""]
    failures: list = []

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        if Plain.failures:
            raise Plain.failures.pop()
        super().pipe_file(path, value, **kwargs)


@pytest.fixture(autouse=True)
def _registered():
    fsspec.register_implementation("plain", Plain, clobber=True)
    Plain.store.clear()
    Plain.failures.clear()


def test_a_file_system_without_known_exclusive_create_is_refused_with_the_reason(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no exclusive create.*single_writer"):
        Worker(open_storage("plain://study"), "w", tmp_path).search()
    assert Plain.store == {}


def test_with_single_writer_a_search_runs_on_any_file_system(tmp_path):
    storage = open_storage("plain://study", single_writer=True)
    Worker(storage, "w", tmp_path).search()
    assert Study.open(open_storage("plain://study")).state.stop is not None
    assert not [key for key in storage.list("") if key.startswith(("probes", ".writable"))]


@pytest.mark.parametrize(
    "error", [TimeoutError("slow"), ConnectionResetError("gone"), OSError("503 SlowDown")]
)
def test_what_may_pass_is_tried_again(error):
    storage = open_storage("plain://place", retry_s=5)
    Plain.failures[:] = [error, error]
    storage.put("a", b"1")
    assert storage.get("a") == b"1"


def test_what_can_not_pass_is_told_at_once():
    storage = open_storage("plain://place", retry_s=60)
    Plain.failures[:] = [PermissionError("no right to sign with AKIASECRET?sig=abc%3D&x=1")] * 2
    with pytest.raises(StorageError) as told:
        storage.put("a", b"1")
    assert len(Plain.failures) == 1
    assert "abc" not in str(told.value)


def test_credentials_are_never_shown():
    for name in (
        "key",
        "secret",
        "token",
        "password",
        "account_key",
        "sas_token",
        "connection_string",
        "private_key",
    ):
        assert is_secret(name)
    for name in ("endpoint_url", "project", "anon", "region_name", "account_name"):
        assert not is_secret(name)
    assert hide("ftp://user:p@ss@host/x") == "ftp://***@host/x"
    assert hide("abfs://container@account.dfs.core.windows.net/x").startswith("abfs://container@")
    assert hide("it says hunter22!", ["hunter22"]) == "it says ***!"
    url = open_storage("plain://user:hunter22@host/study").url
    assert "hunter22" not in url


@pytest.mark.parametrize(
    "given",
    [
        {"lease_s": 0},
        {"lease_s": float("inf")},
        {"lease_s": True},
        {"keep_checkpoints": 0},
        {"keep_checkpoints": "some"},
        {"checkpoint_every": "soon"},
        {"checkpoint_every": -1},
    ],
)
def test_settings_without_sense_are_refused(given):
    with pytest.raises(ConfigurationError, match="must be"):
        settings.checked(given)


def test_settings_can_be_checked_twice():
    given = {"lease_s": 5, "keep_checkpoints": "all", "checkpoint_every": 0}
    assert settings.checked(settings.checked({**given, "max_attempts": None})) == given
    assert settings.period("30s") == (None, 30.0)
    assert settings.period(2) == settings.period("2") == (2, None)
    assert settings.period(0) == settings.period("0") == (None, None)


def test_a_worker_on_memory_still_works(tmp_path):
    storage = open_storage(f"memory:/{tmp_path}")
    Worker(storage, "w", tmp_path).search()
    check_outcome(storage.url.removeprefix("memory://"), enqueued=False)
