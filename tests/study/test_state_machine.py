"""Several workers, people and faults in any order, against a model of what must have happened."""

import itertools
import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from ktcomponent.errors import ConfigurationError, Refused, StorageError
from ktcomponent.maintenance.verify import verify
from ktcomponent.oracles import RandomSearchOracle
from ktcomponent.storage import MemoryStorage
from ktcomponent.study import Draft, Study, StudyState, Writer, incarnations, segments, snapshots, upkeep
from ktcomponent.study.binding import bind
from ktcomponent.study.enqueue import enqueue
from ktcomponent.study.reader import Reader
from tests.study.faulty import FaultyStorage
from tests.study.test_faults import forget

pytestmark = pytest.mark.slow

FAULTS = st.sampled_from(["request lost", "reply lost", "late", "twice"])
SOMETIMES = st.none() | FAULTS
PATHS = itertools.count()


class Searching(RuleBasedStateMachine):
    """Workers that claim, finish, give back and vanish; the model is what they were told had happened."""

    workers = Bundle("workers")
    running = Bundle("running")

    def __init__(self):
        super().__init__()
        self.path = f"machine-{next(PATHS)}"
        self.storage = FaultyStorage(self.path)
        self.scores = {}
        self.unsure = set()
        self._attempt(lambda: bind(self._oracle(), self.storage, self._writer("maker")))

    @staticmethod
    def _oracle():
        oracle = RandomSearchOracle("loss", max_trials=12, seed=4)
        oracle.hyperparameters.Float("x", 0, 1)
        return oracle

    @staticmethod
    def _writer(owner):
        return Writer(owner, incarnations.new_incarnation())

    def _attempt(self, action):
        """Does something that a fault or another worker may prevent."""
        try:
            return action()
        except (StorageError, Refused):
            return None

    def _log(self):
        reader = MemoryStorage(self.path)
        return [json.loads(data) for data in reader.get_many(reader.list("log"))]

    @rule(fault=FAULTS, after=st.integers(1, 6))
    def break_something(self, fault, after):
        self._break(fault, after)

    def _break(self, fault, after):
        self.storage.fault, self.storage.at = fault, self.storage.operations + after

    @rule(target=workers, owner=st.sampled_from(["a", "b", "c"]))
    def begin(self, owner):
        oracle = self._oracle()
        if self._attempt(lambda: bind(oracle, self.storage, self._writer(owner))) is None:
            return None
        return oracle

    @rule(target=running, oracle=workers, fault=SOMETIMES, after=st.integers(1, 4))
    def claim(self, oracle, fault, after):
        if oracle is None:
            return None
        if fault is not None:
            self._break(fault, after)
        writer = oracle._ledger.writer
        was_ongoing = dict(oracle.ongoing_trials)
        try:
            trial = oracle.create_trial("t")
        except StorageError:
            self.unsure.add(writer.incarnation)  # it may hold a trial that it wasn't told of
            return None
        except Refused:
            return None
        if trial.status != "RUNNING" or was_ongoing:
            return None
        if writer.incarnation not in self.unsure:
            held = Study.open(MemoryStorage(self.path)).state.held(writer.owner, writer.incarnation)
            assert list(held) == [trial.trial_id], "a worker holds what it was not told of"
        lease = oracle._ledger.study.state.leases[trial.trial_id]
        return oracle, trial, lease["attempt"], oracle._ledger.writer

    @rule(held=consumes(running), score=st.floats(0, 1), fault=SOMETIMES, after=st.integers(1, 4))
    def finish(self, held, score, fault, after):
        if held is None:
            return
        oracle, trial, attempt, writer = held
        if oracle._ledger.writer != writer:
            return  # a process that gave back runs nothing any more
        if fault is not None:
            self._break(fault, after)
        try:
            oracle.update_trial(trial.trial_id, {"loss": score})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
        except (StorageError, KeyError):
            self.unsure.add(writer.incarnation)
            return  # nobody was told
        except Refused:
            log = self._log()
            mine = [
                e for e in log if e["op"] == "finish" and e["writer"]["incarnation"] == writer.incarnation
            ]
            assert trial.trial_id not in [e["trial"] for e in mine], "what was refused counts all the same"
            return
        assert trial.trial_id not in self.scores, "two workers were told that they had finished one trial"
        self.scores[trial.trial_id] = attempt, trial.score

    @rule(oracle=workers)
    def give_back(self, oracle):
        if oracle is not None:
            self._attempt(lambda: oracle._ledger.close("told to end", broken_off=True))

    @rule(which=st.integers(0, 5))
    def expire(self, which):
        def act():
            study = Study.open(self.storage)
            held = sorted(study.state.running().items())
            if held:
                trial_id, lease = held[which % len(held)]
                draft = Draft("expire", trial_id, lease["attempt"], extra={"reason": "test"})
                study.commit(self._writer("watcher"), lambda _: draft)

        self._attempt(act)

    @rule(x=st.floats(0, 1))
    def ask_for(self, x):
        def act():
            try:
                enqueue(Study.open(self.storage), self._writer("person"), {"x": x})
            except ConfigurationError:
                return

        self._attempt(act)

    @rule()
    def clean_up(self):
        def act():
            study = Study.open(self.storage)
            for key in upkeep.garbage(self.storage, study.state):
                self.storage.delete(key)

        self._attempt(act)

    @invariant()
    def what_was_told_is_what_everybody_reads(self):
        reader = MemoryStorage(self.path)
        study = Study.find(reader)
        if study is None:
            assert not self.scores
            return
        for trial_id, (attempt, score) in self.scores.items():
            lease = study.state.leases[trial_id]
            assert (lease["state"], lease["attempt"]) == ("ended", attempt)
            assert study.state.trials[trial_id]["score"] == score
        whole = Study(Reader(reader, StudyState(study.state.study_id)))
        whole.refresh()
        assert whole.state == study.state

    def teardown(self):
        reader = MemoryStorage(self.path)
        if Study.find(reader) is not None:
            assert verify(reader).problems == []
            log = self._log()
            assert max(Counter(e["trial"] for e in log if e["op"] == "finish").values(), default=0) <= 1
            attempts = Counter((e["trial"], e["attempt"]) for e in log if e["op"] == "claim")
            assert max(attempts.values(), default=0) <= 1
        forget(self.path)


@pytest.fixture(autouse=True)
def _small_distances(monkeypatch):
    monkeypatch.setattr(segments, "SMALL", 4)
    monkeypatch.setattr(segments, "LARGE", 16)
    monkeypatch.setattr(snapshots, "SPACING", 8)
    monkeypatch.setattr(snapshots, "SHARE", 10**9)
    monkeypatch.setattr(upkeep, "COMMITS_KEPT", 0)


def test_any_order_of_workers_people_and_faults_loses_nothing():
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Searching,
        settings=settings(
            max_examples=300,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
