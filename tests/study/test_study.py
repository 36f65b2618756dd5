"""The log: exactly-once commits, fencing by the fold, damage that is named, snapshots that are checked."""

import copy
import dataclasses
import itertools
import json
import threading

import pytest

from ktcomponent.errors import (
    ConfigurationError,
    CorruptEntry,
    Fenced,
    MissingEntry,
    Refused,
    StorageError,
    UnsupportedFormat,
)
from ktcomponent.storage import MemoryStorage, Storage
from ktcomponent.study import Draft, Study, Writer, incarnations, layout, segments, snapshots
from ktcomponent.study import entry as entries
from ktcomponent.study.state import fold

CONFIG = {"max_attempts": 3, "lease_s": 60}
DOCUMENT = [["set", ["config"], CONFIG], ["set", ["oracle"], {"trials": {}}]]
A1, A2, B1 = Writer("a", "a1"), Writer("a", "a2"), Writer("b", "b1")


def create(storage: Storage) -> Study:
    return Study.create(storage, A1, DOCUMENT)[0]


def claim(study, writer, trial, attempt=1, new=True):
    record = {"number": int(trial), "status": "RUNNING"}
    patch = [["set", ["oracle", "trials", trial], record]] if new else []
    return study.commit(writer, lambda _: Draft("claim", trial, attempt, patch, {"lease_s": 60}))


def finish(study, writer, trial, attempt=1, status="COMPLETED"):
    patch = [["set", ["oracle", "trials", trial, "status"], status]]
    return study.commit(writer, lambda _: Draft("finish", trial, attempt, patch))


def started(storage, *writers):
    study = create(storage)
    for writer in writers:
        incarnations.take_over(study, writer, "test")
    return study


def test_a_study_is_created_once_by_many(storage):
    barrier = threading.Barrier(6)
    made = []

    def run(n):
        barrier.wait()
        made.append(Study.create(storage, Writer(f"w{n}", f"i{n}"), DOCUMENT))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(is_mine for _, is_mine in made) == 1
    assert len({study.state.study_id for study, _ in made}) == 1
    assert {study.state.seq for study, _ in made} == {1}


def test_a_study_without_its_first_commit_is_completed_by_whoever_finds_it(storage):
    storage.put(layout.STUDY, json.dumps({"format": 1, "study_id": "s"}).encode())
    assert Study.find(storage) is None
    study, is_mine = Study.create(storage, A1, DOCUMENT)
    assert (study.state.study_id, is_mine) == ("s", True)


def test_readers_fold_what_writers_committed(storage):
    study = started(storage, A1)
    claim(study, A1, "0")
    finish(study, A1, "0")
    again = Study.open(storage)
    assert again.state == study.state
    assert again.state.leases["0"]["state"] == "ended"


def test_a_trial_is_claimed_by_one_of_two(storage):
    study = started(storage, A1, B1)
    other = Study.open(storage)
    claim(study, A1, "0")
    with pytest.raises(Refused, match="is running"):
        claim(other, B1, "0", new=False)


def test_an_attempt_is_finished_once_and_only_by_its_holder(storage):
    study = started(storage, A1, B1)
    claim(study, A1, "0")
    with pytest.raises(Fenced, match="held by 'a'"):
        finish(study, B1, "0")
    finish(study, A1, "0")
    with pytest.raises(Fenced):
        finish(study, A1, "0")


def test_takeover_gives_back_as_a_loss_and_fences_the_one_before(storage):
    study = started(storage, A1)
    claim(study, A1, "0")
    zombie = Study.open(storage)
    incarnations.take_over(study, A2, "retry")
    assert study.state.leases["0"] == {"state": "free", "attempt": 1, "first": 1, "losses": 1}
    with pytest.raises(Fenced):
        finish(zombie, A1, "0")
    with pytest.raises(Fenced):
        claim(zombie, A1, "1")
    claim(study, A2, "0", attempt=2, new=False)
    finish(study, A2, "0", attempt=2)


def test_giveback_is_no_loss_and_closes_the_incarnation(storage):
    study = started(storage, A1)
    claim(study, A1, "0")
    assert incarnations.give_back(study, A1, "SIGTERM")
    assert study.state.leases["0"] == {"state": "free", "attempt": 1, "first": 1, "losses": 0}
    with pytest.raises(Fenced):
        claim(study, A1, "1")
    assert not incarnations.give_back(study, A1, "again")


def test_a_restart_is_refused_once_somebody_else_took_over(storage):
    study = started(storage, A1)
    incarnations.take_over(study, A2, "retry")
    with pytest.raises(Fenced):
        incarnations.take_over(study, Writer("a", "a3"), "child died", replaces="a1", restart=True)
    incarnations.give_back(study, A2, "SIGTERM")
    with pytest.raises(Fenced, match="closed"):
        incarnations.take_over(study, Writer("a", "a3"), "child died", replaces="a2", restart=True)


def test_nothing_is_claimed_after_a_stop_but_what_runs_may_finish(storage):
    study = started(storage, A1)
    claim(study, A1, "0")
    assert incarnations.stop(study, B1, "enough")
    assert not incarnations.stop(study, B1, "again")
    with pytest.raises(Refused, match="enough"):
        claim(study, A1, "1")
    finish(study, A1, "0")
    study.commit(A1, lambda _: Draft("config", extra={"reopen": True}))
    claim(study, A1, "1")


def test_a_reset_begins_a_generation_and_fences_the_one_before(storage):
    study = started(storage, A1)
    claim(study, A1, "0")
    zombie = Study.open(storage)
    study.commit(dataclasses.replace(B1, generation=2), lambda _: Draft("reset", patch=DOCUMENT))
    assert (study.state.generation, study.state.leases) == (2, {})
    with pytest.raises(Fenced):
        finish(zombie, A1, "0")


def test_a_trial_due_for_a_retry_is_claimed_as_the_next_attempt(storage):
    study = started(storage, A1)
    claim(study, A1, "0")
    finish(study, A1, "0", status="INVALID")
    with pytest.raises(Refused, match="does not follow"):
        claim(study, A1, "0", attempt=1, new=False)
    claim(study, A1, "0", attempt=2, new=False)


def test_an_expired_attempt_can_not_finish(storage):
    study = started(storage, A1, B1)
    claim(study, A1, "0")
    study.commit(B1, lambda _: Draft("expire", "0", 1))
    assert study.state.leases["0"]["losses"] == 1
    with pytest.raises(Fenced):
        finish(study, A1, "0")


class Unreliable(MemoryStorage):
    """Does what a bad network does to the n-th create."""

    def __init__(self, path, faults):
        super().__init__(path)
        self.faults = faults
        self.calls = 0

    def put_if_absent(self, key, data):
        fault = self.faults.get(self.calls)
        self.calls += 1
        if fault == "request lost":
            raise StorageError("timeout")
        made = super().put_if_absent(key, data)
        if fault == "reply lost":
            raise StorageError("timeout")
        if fault == "reply lost, client tried again":
            return super().put_if_absent(key, data)
        return made


@pytest.mark.parametrize("fault", ["request lost", "reply lost", "reply lost, client tried again"])
@pytest.mark.parametrize("call", range(2, 5))
def test_a_lost_request_or_reply_counts_once(fault, call, tmp_path):
    storage = Unreliable(str(tmp_path), {call: fault})
    study = started(storage, A1)
    claim(study, A1, "0")
    finish(study, A1, "0")
    assert storage.calls >= 5
    assert Study.open(storage).state.seq == 4


def test_a_storage_that_never_answers_ends_with_a_storage_error(tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    storage = Unreliable(str(tmp_path), {})
    study = started(storage, A1)
    storage.faults = dict.fromkeys(range(100), "request lost")
    with pytest.raises(StorageError):
        claim(study, A1, "0")
    storage.faults = {}
    claim(study, A1, "0")


def test_many_writers_lose_nothing(storage):
    study = create(storage)
    barrier = threading.Barrier(4)

    def run(n):
        mine = Study.open(storage)
        writer = Writer(f"w{n}", f"i{n}")
        barrier.wait()
        incarnations.take_over(mine, writer, "test")
        for _ in range(10):

            def next_trial(state):
                trial = str(len(state.trials))
                record = {"number": int(trial), "status": "RUNNING"}
                return Draft("claim", trial, 1, [["set", ["oracle", "trials", trial], record]])

            trial = mine.commit(writer, next_trial)["trial"]
            finish(mine, writer, trial)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study.refresh()
    assert sorted(study.state.trials, key=int) == [str(n) for n in range(40)]
    assert {lease["state"] for lease in study.state.leases.values()} == {"ended"}
    assert study.state.seq == 1 + 4 + 80


def damaged(storage, n, change):
    key = layout.log(n)
    data = storage.get(key)
    storage.delete(key)
    if change is not None:
        storage.put(key, change(data))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d[:-10],
        lambda _: b"",
        lambda d: d.replace(b"RUNNING", b"RUNNINg"),
        lambda _: b"[]\n",
        lambda d: d + d,
    ],
)
def test_a_damaged_entry_is_named_and_nothing_is_written(storage, change):
    study = started(storage, A1)
    claim(study, A1, "0")
    damaged(storage, 3, change)
    with pytest.raises(CorruptEntry, match=r"log/0+3\.json"):
        Study.open(storage)
    assert storage.get(layout.log(4)) is None


def test_a_missing_entry_is_named(storage):
    study = started(storage, A1)
    claim(study, A1, "0")
    damaged(storage, 2, None)
    with pytest.raises(MissingEntry, match=r"log/0+2\.json"):
        Study.open(storage)


def test_an_entry_that_breaks_a_rule_is_corrupt_even_with_a_good_checksum(storage):
    study = started(storage, A1)
    entry = study._number(B1, Draft("finish", "0", 1))
    storage.put(layout.log(3), entries.encode(entry))
    with pytest.raises(CorruptEntry, match="is closed"):
        Study.open(storage)


def test_an_entry_that_follows_another_history_is_corrupt(storage):
    study = started(storage, A1)
    study.state.last_sha256 = "0" * 64
    storage.put(layout.log(3), entries.encode(study._number(A1, Draft("config"))))
    with pytest.raises(CorruptEntry, match="does not follow the commit before it"):
        Study.open(storage)


def test_an_entry_of_another_study_is_corrupt(storage, tmp_path):
    started(storage, A1)
    other = started(MemoryStorage(f"other{tmp_path}"), A1)
    storage.put(layout.log(3), entries.encode(other._number(A1, Draft("config"))))
    with pytest.raises(CorruptEntry, match="belongs elsewhere"):
        Study.open(storage)


def test_a_study_of_newer_software_is_not_touched(storage):
    study = started(storage, A1)
    newer = study._number(A1, Draft("config"))
    storage.put(layout.log(3), entries.encode({**newer, "min_writer": 99}))
    reader = Study.open(storage)
    assert reader.state.seq == 3
    with pytest.raises(UnsupportedFormat, match="newer software"):
        claim(reader, A1, "0")
    newest = reader._number(A1, Draft("config"))
    storage.put(layout.log(4), entries.encode({**newest, "min_reader": 99}))
    with pytest.raises(UnsupportedFormat, match="Upgrade"):
        Study.open(storage)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": "x", "study_id": 1}', b"\x00" * 100])
def test_a_damaged_study_file_is_named(storage, content):
    storage.put(layout.STUDY, content)
    with pytest.raises((CorruptEntry, UnsupportedFormat)):
        Study.find(storage)


def test_unknown_keys_of_newer_software_are_kept(storage):
    study = started(storage, A1)
    patch = [["set", ["oracle", "future"], {"a": 1}], ["set", ["new"], 2]]
    study.commit(A1, lambda _: Draft("config", patch=patch, extra={"more": 3}))
    claim(study, A1, "0")
    assert study.state.document["oracle"]["future"] == {"a": 1}
    assert Study.open(storage).state.document["new"] == 2


def many(storage, trials):
    study = started(storage, A1)
    for n in range(trials):
        claim(study, A1, str(n))
        finish(study, A1, str(n))
    return study


def test_a_snapshot_spares_reading_the_log_and_changes_nothing(storage, monkeypatch):
    study = many(storage, 70)
    read = []

    def folding(state, entry, digest):
        read.append(entry["seq"])
        fold(state, entry, digest)

    monkeypatch.setattr("ktcomponent.study.reader.fold", folding)
    assert Study.open(storage).state == study.state
    assert read == list(range(129, 143))


@pytest.mark.parametrize(
    "change", [lambda d: d[:-5], lambda d: d.replace(b'"fold":2', b'"fold":9'), lambda _: b"{}"]
)
def test_a_snapshot_that_can_not_be_verified_is_ignored(storage, change):
    study = many(storage, 35)
    (key,) = storage.list("snapshots")
    storage.put(key, change(storage.get(key)))
    assert Study.open(storage).state == study.state


def test_a_snapshot_of_another_history_is_ignored(storage):
    study = many(storage, 30)
    other = copy.deepcopy(study.state)
    other.seq, other.last_sha256, other.document["oracle"]["trials"] = 60, "0" * 64, {}
    storage.put(*snapshots.encode(other))
    assert Study.open(storage).state == study.state


def test_snapshots_grow_apart():
    points = [n for n in range(1, 5000) if snapshots.is_due(n)]
    assert points[:4] == [64, 128, 192, 256]
    gaps = [b - a for a, b in itertools.pairwise(points)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 450


@pytest.mark.parametrize("name", ["../up", "a/b", "a\x00b", ".", "ünï", "manual__2026-01-01T00:00:00+00:00"])
def test_names_stay_in_their_folder_and_apart(name):
    safe = layout.safe(name)
    assert "/" not in safe
    assert "." not in safe
    assert layout.safe(name + "x") != safe


def test_a_run_that_is_repeated_begins_with_an_attempt_of_its_own(storage):
    study = started(storage, A1)
    claim(study, A1, "0")
    incarnations.take_over(study, A2, "retry")
    claim(study, A2, "0", attempt=2, new=False)
    assert study.state.leases["0"]["first"] == 1
    finish(study, A2, "0", attempt=2, status="INVALID")
    claim(study, A2, "0", attempt=3, new=False)
    assert study.state.leases["0"]["first"] == 3


def test_a_commit_that_no_reader_would_take_is_refused(storage):
    study = started(storage, A1)
    large = [["set", ["config", "large"], "x" * entries.MAX_BYTES]]
    with pytest.raises(ConfigurationError, match="'config/large'"):
        study.commit(A1, lambda _: Draft("config", patch=large))
    assert Study.open(storage).state.seq == 2


def test_what_was_listed_must_be_there(storage):
    many(storage, 28)
    for n in range(17, 25):
        storage.delete(layout.log(n))
    for part in segments.of_keys(storage.list("segments")):
        if part.first <= 20 <= part.last:
            storage.delete(part.key)
    with pytest.raises(MissingEntry, match=r"log/0+17\.json"):
        Study.open(storage)
