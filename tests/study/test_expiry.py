"""Leases: who waits gives back what a dead worker holds, and never what a live one holds."""

import json
from types import SimpleNamespace

import pytest

from ktcomponent.errors import Fenced, StorageError
from ktcomponent.oracles import RandomSearchOracle
from ktcomponent.storage import MemoryStorage
from ktcomponent.study import Draft, Study, beats
from ktcomponent.study.expiry import Expiry, pause_s
from ktcomponent.tuners.base_tuner import BaseTuner
from tests.study.faulty import FakeClock
from tests.study.test_study import A1, B1, claim, finish, started


class Outages(MemoryStorage):
    """Beats can't be read while `down`."""

    def __init__(self, path):
        super().__init__(path)
        self.clock = FakeClock()
        self.down = False

    def get_many(self, keys, limit=None):
        if self.down and keys[0].startswith("beats"):
            raise StorageError("down")
        return super().get_many(keys, limit)


@pytest.fixture
def storage(tmp_path):
    return Outages(str(tmp_path))


def waiting(storage):
    study = started(storage, A1, B1)
    claim(study, A1, "0")
    watcher = Study.open(storage)
    return watcher, Expiry(watcher, B1)


def wait(storage, watcher, expiry, seconds, step=10, beat_every=None):
    """Lets time pass as a waiting step does; the trials that were given back."""
    given_back = []
    end = storage.clock.now + seconds
    beaten = storage.clock.now
    while storage.clock.now < end:
        storage.clock.sleep(step)
        if beat_every is not None and storage.clock.now - beaten >= beat_every:
            beaten = storage.clock.now
            beats.beat(storage, 1, "0", 1, int(beaten))
        watcher.refresh()
        given_back += expiry.look()
    return given_back


def test_a_silent_attempt_is_given_back_after_its_lease_and_a_margin(storage):
    watcher, expiry = waiting(storage)
    assert wait(storage, watcher, expiry, 80) == []
    assert wait(storage, watcher, expiry, 60) == ["0"]
    lease = watcher.state.leases["0"]
    assert (lease["state"], lease["losses"]) == ("free", 1)
    with pytest.raises(Fenced):
        finish(Study.open(storage), A1, "0")


def test_a_beating_attempt_is_never_given_back(storage):
    watcher, expiry = waiting(storage)
    assert wait(storage, watcher, expiry, 3600, beat_every=20) == []


def test_an_outage_of_the_storage_expires_nobody(storage):
    watcher, expiry = waiting(storage)
    wait(storage, watcher, expiry, 40)
    storage.down = True
    assert wait(storage, watcher, expiry, 3600) == []
    storage.down = False
    # Only what was seen silent counts, before and after.
    assert wait(storage, watcher, expiry, 30) == []
    assert wait(storage, watcher, expiry, 60) == ["0"]


def test_a_watcher_that_was_suspended_expires_nobody(storage):
    watcher, expiry = waiting(storage)
    assert wait(storage, watcher, expiry, 36000, step=3600) == []


def test_a_new_attempt_has_a_lease_of_its_own(storage):
    watcher, expiry = waiting(storage)
    wait(storage, watcher, expiry, 80)
    finish(watcher, A1, "0", status="INVALID")
    claim(watcher, A1, "0", attempt=2, new=False)
    assert wait(storage, watcher, expiry, 60) == []


class Quick(BaseTuner):
    """Its first run is given to others while it goes on."""

    lost = 0

    def run_trial(self, trial, **_):
        if not Quick.lost:
            Quick.lost += 1
            other = Study.open(self._ledger.study.storage)
            other.commit(B1, lambda _: Draft("expire", trial.trial_id, 1))
        return trial.hyperparameters.Float("x", 0, 1)


def test_a_program_that_lost_a_trial_goes_on_with_the_search(tmp_path, capsys):
    Quick.lost = 0
    tuner = Quick(RandomSearchOracle(max_trials=4, seed=1), directory=str(tmp_path), project_name="p")
    tuner.search()
    assert "was lost, and the search goes on" in capsys.readouterr().out
    state = tuner._ledger.study.state
    assert {trial["status"] for trial in state.trials.values()} == {"COMPLETED"}
    assert [lease["attempt"] for lease in state.leases.values()] == [2, 1, 1, 1]
    log = [
        json.loads(tuner._ledger.study.storage.get(key)) for key in tuner._ledger.study.storage.list("log")
    ]
    assert [entry["trial"] for entry in log if entry["op"] == "finish"] == sorted(state.trials)


def test_nobody_loses_more_than_a_part_of_the_time_it_has_waited():
    state = SimpleNamespace(shortest_lease=lambda: 60.0)
    waited = 0.0
    while waited < 300:
        pause = pause_s(waited, state)
        assert pause <= max(0.3, waited / 4)
        assert 0.3 <= pause <= 5.0
        waited += pause
    assert pause == 5.0
    assert pause_s(100.0, SimpleNamespace(shortest_lease=lambda: 6.0)) == 1.0
