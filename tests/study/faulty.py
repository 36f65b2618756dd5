"""A storage that fails at one chosen operation, and workers that run a whole search on it, in one process."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

from ktcomponent.clock import Clock
from ktcomponent.errors import Refused, StorageError
from ktcomponent.maintenance.verify import verify
from ktcomponent.oracles import RandomSearchOracle
from ktcomponent.storage import MemoryStorage
from ktcomponent.study import Study, Writer, artifacts, incarnations, layout, upkeep
from ktcomponent.study.binding import bind
from ktcomponent.study.enqueue import enqueue
from ktcomponent.study.ranking import best_trials
from ktcomponent.study.state import StudyState

TRIALS = 7
KEPT = 2
SETTINGS = {"keep_checkpoints": KEPT, "lease_s": 60}
ENQUEUED = {"x": 0.5}


class Died(BaseException):
    """The process is gone: nothing of it runs any more."""


class FakeClock(Clock):
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class FaultyStorage(MemoryStorage):
    """Does one thing wrong, at operation `at`.

    Faults: "dies before", "dies after" the operation; "request lost", "reply lost" with an error; "late": an error,
    and the request arrives some operations later; "twice": it arrives again some operations later; "delayed": it
    takes so long that `meanwhile` happens first.
    """

    def __init__(self, path, fault=None, at=None, meanwhile=None):
        super().__init__(path)
        self.fault, self.at, self.meanwhile = fault, at, meanwhile
        self.clock = FakeClock()
        self.operations = 0
        self.verbs = Counter()
        self._late = []

    def _do(self, verb, action):
        self.operations += 1
        self.verbs[verb] += 1
        self.clock.now += 0.03
        for due, late in list(self._late):
            if self.operations >= due:
                self._late.remove((due, late))
                late()
        if self.operations != self.at:
            return action()
        if self.fault == "dies before":
            raise Died
        if self.fault == "request lost":
            raise StorageError("connection refused")
        if self.fault == "late":
            if verb in ("put_if_absent", "put", "delete"):
                self._late.append((self.operations + 7, action))
            raise StorageError("timeout")
        if self.fault == "delayed":
            self.meanwhile()
        result = action()
        if self.fault == "dies after":
            raise Died
        if self.fault == "reply lost":
            raise StorageError("connection reset")
        if self.fault == "twice" and verb in ("put_if_absent", "put", "delete"):
            self._late.append((self.operations + 5, action))
        return result

    def put_if_absent(self, key, data):
        return self._do("put_if_absent", lambda: MemoryStorage.put_if_absent(self, key, data))

    def put(self, key, data):
        return self._do("put", lambda: MemoryStorage.put(self, key, data))

    def get_many(self, keys, limit=None):
        return self._do("get_many", lambda: MemoryStorage.get_many(self, keys, limit))

    def list(self, prefix):
        return self._do("list", lambda: MemoryStorage.list(self, prefix))

    def delete(self, key):
        return self._do("delete", lambda: MemoryStorage.delete(self, key))


def make_oracle():
    oracle = RandomSearchOracle("loss", max_trials=TRIALS, seed=5)
    oracle.hyperparameters.Float("x", 0, 1)
    return oracle


@dataclasses.dataclass
class Worker:
    """What one step does, in this process: uploads files, waits and watches, drops, cleans up at the end."""

    storage: MemoryStorage
    owner: str
    folder: Path

    def begin(self):
        oracle = make_oracle()
        writer = Writer(self.owner, incarnations.new_incarnation())
        self.ledger = bind(oracle, self.storage, writer, settings=SETTINGS)
        self.ledger.folder_of = self._folder
        self.ledger.small_files = frozenset({"history.json"})
        self.oracle = oracle

    def _folder(self, trial_id):
        folder = self.folder / self.owner / trial_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.bin").write_text(f"weights of {trial_id}")
        (folder / "history.json").write_text("{}")
        return folder

    def claim(self):
        while True:
            trial = self.oracle.create_trial("t")
            if trial.status != "IDLE":
                return trial if trial.status == "RUNNING" else None
            if not self.ledger.watch_others():
                self.storage.clock.sleep(10)

    def search(self):
        """Runs the search to its end."""
        self.begin()
        while (trial := self.claim()) is not None:
            self.oracle.update_trial(trial.trial_id, {"loss": trial.hyperparameters.get("x")})
            trial.status = "COMPLETED"
            self.oracle.end_trial(trial)

    def run(self):
        """Searches, and does what a step does when storage fails or somebody else has taken over."""
        try:
            self.search()
        except StorageError:
            self._give_back()
        except Refused:
            return  # fenced: somebody else goes on

    def _give_back(self):
        try:
            self.ledger.close("storage failed", broken_off=True)
        except (StorageError, Refused, AttributeError):
            return


def whole_run(storage, folder):
    """A worker that claims and is never heard of again, a person who enqueues, one that does the rest, and gc."""
    ghost = Worker(storage, "ghost", folder)
    ghost.begin()
    ghost.claim()
    person = Study.open(storage)
    enqueue(person, Writer("person", "p"), ENQUEUED)
    Worker(storage, "first", folder).run()
    study = Study.open(storage)
    for key in upkeep.garbage(storage, study.state):
        storage.delete(key)


def finish_search(path, folder, owner="second"):
    """A new worker, on a storage that works."""
    storage = FaultyStorage(path)
    Worker(storage, owner, folder).run()
    return storage


def check_outcome(path, *, enqueued=True):
    """Nothing lost, nothing counted twice, and everything that is stored is sound."""
    storage = MemoryStorage(path)
    found = verify(storage)
    assert found.problems == []
    study = Study.open(storage)
    state: StudyState = study.state
    assert state.stop is not None
    assert len(state.trials) == TRIALS
    assert {lease["state"] for lease in state.leases.values()} == {"ended"}
    log = [json.loads(storage.get(key)) for key in storage.list("log")]
    finishes = Counter(entry["trial"] for entry in log if entry["op"] == "finish")
    assert finishes == dict.fromkeys(state.trials, 1)
    assert {trial["status"] for trial in state.trials.values()} == {"COMPLETED"}
    assert len({entry["id"] for entry in log}) == len(log)
    values = [trial["values"]["x"] for trial in state.trials.values()]
    assert len(set(values)) == TRIALS
    assert values.count(ENQUEUED["x"]) <= 1
    if enqueued:
        assert ENQUEUED["x"] in values
    best = best_trials(state)[:KEPT]
    for trial_id in best:
        names = [file["name"] for file in state.leases[trial_id]["files"]]
        assert names == ["history.json", "model.bin"]
    return storage, state


def check_files(storage, state, folder):
    """What is kept can be loaded; what was given up or left behind is gone after gc."""
    for key in upkeep.garbage(storage, state):
        storage.delete(key)
    for trial_id, lease in state.leases.items():
        artifacts.download(storage, state.generation, trial_id, lease, folder / f"loaded-{trial_id}")
    stored = set(storage.list("trials"))
    listed = {
        layout.attempt_file(state.generation, i, lease["attempt"], file["name"])
        for i, lease in state.leases.items()
        for file in lease["files"]
    }
    assert stored == listed
    assert upkeep.garbage(storage, state) == []
    assert storage.list("beats") == []
    assert storage.list("probes") == []
