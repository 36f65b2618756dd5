"""An oracle bound to a study: decisions that survive races, vanished workers and other processes."""

import json
import threading

import pytest

from ktcomponent.errors import Fenced, StudyMismatch, TooManyFailedTrials
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import Oracle, RandomSearchOracle
from ktcomponent.study import Draft, Study, Writer, artifacts, incarnations
from ktcomponent.study.binding import bind, kept_oracle
from ktcomponent.study.watch import Pulse
from ktcomponent.trial import Trial


def space(high=1.0):
    hp = HyperParameters()
    hp.Float("x", 0, high)
    return hp


def oracle(**kwargs):
    return RandomSearchOracle(**{"max_trials": 12, "seed": 3, "hyperparameters": space(), **kwargs})


def writer(owner="w"):
    return Writer(owner, incarnations.new_incarnation())


def bound(storage, owner="w", **kwargs):
    made = oracle(**kwargs)
    return made, bind(made, storage, writer(owner))


def run_one(made, tuner_id="t", status="COMPLETED"):
    trial = made.create_trial(tuner_id)
    if trial.status == "RUNNING":
        made.update_trial(trial.trial_id, {"default_objective": trial.hyperparameters["x"]})
        trial.status = status
        made.end_trial(trial)
    return trial


def drain(made):
    trials = []
    while (trial := run_one(made)).status not in ("STOPPED", "IDLE"):
        trials.append(trial.hyperparameters.values)
    return trials


def test_a_bound_search_proposes_what_one_in_memory_proposes(storage):
    in_memory = drain(oracle())
    made, ledger = bound(storage)
    assert drain(made) == in_memory
    assert ledger.study.state.stop["reason"] == "the oracle has no more trials"
    assert ledger.study.state.seq == 1 + 1 + 2 * 12 + 1


@pytest.mark.parametrize("batch", range(1, 12))
def test_a_search_resumed_after_any_batch_goes_on_as_if_undisturbed(storage, batch):
    undisturbed = drain(oracle())
    first, _ = bound(storage, "first")
    part = [run_one(first).hyperparameters.values for _ in range(batch)]
    second, _ = bound(storage, "second", seed=None)
    assert part + drain(second) == undisturbed


def test_two_oracles_in_turn_share_the_search_without_a_repeat(storage):
    a, _ = bound(storage, "a")
    b, _ = bound(storage, "b")
    values = [run_one(a if n % 2 else b).hyperparameters["x"] for n in range(12)]
    assert len(set(values)) == 12
    assert values == [v["x"] for v in drain(oracle())]
    assert a.create_trial("t").status == "STOPPED"


def test_decisions_in_a_race_are_made_again_on_the_new_head(storage):
    ready = threading.Barrier(3)
    seen = []

    def work(name):
        made, _ = bound(storage, name)
        ready.wait()
        while (trial := run_one(made)).status in ("COMPLETED", "IDLE"):
            if trial.trial_id:
                seen.append((trial.trial_id, trial.hyperparameters["x"]))

    bound(storage, "creator")
    threads = [threading.Thread(target=work, args=(n,)) for n in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = Study.open(storage)
    assert len(seen) == len(set(seen)) == 12
    assert len({x for _, x in seen}) == 12
    assert [t["status"] for t in study.state.trials.values()] == ["COMPLETED"] * 12
    assert sorted(t["ended"] for t in study.state.trials.values()) == list(range(12))


def test_a_given_back_trial_comes_first_with_the_same_values(storage):
    a, ledger = bound(storage, "a")
    lost = a.create_trial("t")
    ledger.close("left")
    b, other = bound(storage, "b")
    again = b.create_trial("t")
    assert (again.trial_id, again.hyperparameters.values) == (lost.trial_id, lost.hyperparameters.values)
    assert other.study.state.leases[again.trial_id]["attempt"] == 2
    assert other.study.state.leases[again.trial_id]["losses"] == 0


def test_a_trial_whose_workers_vanish_fails_after_max_attempts(storage):
    for _ in range(3):
        made, _ = bound(storage, "same owner")
        lost = made.create_trial("t")
        assert lost.trial_id == "00"
    made, ledger = bound(storage, "same owner")
    following = made.create_trial("t")
    assert following.trial_id == "01"
    assert ledger.study.state.trials["00"]["status"] == "FAILED"
    assert "vanished 3 times" in ledger.study.state.trials["00"]["message"]


def test_a_replaced_worker_can_neither_finish_nor_claim(storage):
    old, _ = bound(storage, "same owner")
    trial = old.create_trial("t")
    new, _ = bound(storage, "same owner")
    new.create_trial("t")
    old.update_trial(trial.trial_id, {"default_objective": 0.0})
    trial.status = "COMPLETED"
    with pytest.raises(Fenced):
        old.end_trial(trial)
    with pytest.raises(Fenced):
        old.create_trial("another")
    assert Study.open(storage).state.trials[trial.trial_id]["score"] is None


def test_the_end_is_not_committed_while_another_trial_runs(storage):
    a, _ = bound(storage, "a", max_trials=2)
    running = a.create_trial("t")
    b, ledger = bound(storage, "b", max_trials=2)
    run_one(b)
    assert b.create_trial("t").status == "IDLE"
    assert ledger.study.state.stop is None
    running.status = "FAILED"
    a.end_trial(running)
    assert b.create_trial("t").status == "STOPPED"
    assert ledger.study.state.stop is not None


def test_a_raised_limit_reopens_a_finished_search(storage):
    made, _ = bound(storage, max_trials=3)
    drain(made)
    more, ledger = bound(storage, max_trials=5)
    assert len(drain(more)) == 2
    assert ledger.study.state.config["oracle"]["max_trials"] == 5


def test_a_running_worker_follows_settings_that_change(storage):
    old, _ = bound(storage, "old", max_trials=3)
    run_one(old)
    bound(storage, "new", max_trials=2)
    assert len(drain(old)) == 1


def test_inside_a_step_the_settings_of_the_study_win(storage):
    bound(storage, max_trials=3)
    made = oracle(max_trials=9)
    with pytest.warns(UserWarning, match="max_trials is 3, not 9"):
        bind(made, storage, writer(), study_wins=True)
    assert len(drain(made)) == 3


def test_a_missing_seed_is_drawn_once(storage):
    made, _ = bound(storage, seed=None)
    assert made.seed is not None
    again, _ = bound(storage, seed=None)
    assert again.seed == made.seed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "val_loss"}, "objective"),
        ({"hyperparameters": space(2.0)}, r"'x': max_value is 1.0 there and 2.0 here"),
    ],
)
def test_another_search_is_refused_and_nothing_is_written(storage, change, message):
    _, ledger = bound(storage)
    with pytest.raises(StudyMismatch, match=message):
        bound(storage, **change)
    ledger.refresh()
    assert ledger.study.state.seq == 1


def test_new_hyperparameters_are_merged(storage):
    first, _ = bound(storage)
    run_one(first)
    wider = space()
    wider.Int("n", 1, 9)
    second, _ = bound(storage, hyperparameters=wider)
    assert "n" in run_one(second).hyperparameters.values


def test_too_many_failures_commit_the_stop(storage):
    made, ledger = bound(storage, max_consecutive_failed_trials=2)
    run_one(made, status="FAILED")
    with pytest.raises(TooManyFailedTrials):
        run_one(made, status="FAILED")
    assert "2 trials in a row failed" in ledger.study.state.stop["reason"]
    assert made.create_trial("t").status == "STOPPED"


class Chooser(Oracle):
    """A user's oracle with state of its own, changed in every decision."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.asked, self.log, self.best = 0, [], float("inf")

    def populate_space(self, trial_id):
        self.asked += 1
        return {"status": "RUNNING", "values": {"x": self.asked / 1000}}

    def create_trial(self, tuner_id):
        trial = super().create_trial(tuner_id)
        if trial.status == "RUNNING":
            self.log.append(f"began {trial.trial_id}")
        return trial

    def end_trial(self, trial):
        super().end_trial(trial)
        self.log.append(f"ended {trial.trial_id}")
        self.best = min(self.best, trial.score)

    def get_state(self):
        return {**super().get_state(), "asked": self.asked, "log": self.log, "best": self.best}

    def set_state(self, state):
        super().set_state(state)
        self.asked, self.log, self.best = state["asked"], state["log"], state["best"]


@pytest.mark.slow
def test_a_users_oracle_keeps_its_state_over_races_and_processes(storage):
    def work(name):
        made = Chooser(max_trials=20, hyperparameters=space())
        bind(made, storage, writer(name))
        while run_one(made).status in ("COMPLETED", "IDLE"):
            pass

    threads = [threading.Thread(target=work, args=(n,)) for n in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    document = Study.open(storage).state.document["oracle"]
    assert document["asked"] == 20
    assert document["best"] == min(t["score"] for t in document["trials"].values())
    assert sorted(t["values"]["x"] for t in document["trials"].values()) == [n / 1000 for n in range(1, 21)]
    assert sorted(document["log"]) == sorted(
        f"{what} {n:02}" for n in range(20) for what in ("began", "ended")
    )


def test_a_commit_does_not_grow_with_the_number_of_trials(storage):
    made, ledger = bound(storage, max_trials=80)
    drain(made)
    sizes = [len(storage.get(f"log/{n:020}.json")) for n in range(3, ledger.study.state.seq)]
    assert max(sizes) < 4096
    assert max(sizes[-20:]) <= max(sizes[:20]) + 16


def test_the_document_is_the_oracles_state(storage):
    made, ledger = bound(storage)
    drain(made)
    state = made.get_state()
    state.pop("ongoing_trials")
    assert json.loads(json.dumps(state)) == ledger.study.state.document["oracle"]


class OwnTrials(Oracle):
    """Makes its trials by itself."""

    def create_trial(self, tuner_id):
        if len(self.trials) == 3:
            return Trial(self.get_space(), "none", "STOPPED")
        hp = self.get_space()
        hp.values = {"x": len(self.trials) / 10}
        trial = Trial(hp, f"mine-{len(self.trials)}")
        self.trials[trial.trial_id] = self.ongoing_trials[tuner_id] = trial
        return trial


def test_an_oracle_may_make_its_trials_by_itself(storage):
    made = OwnTrials(hyperparameters=space())
    bind(made, storage, writer())
    assert drain(made) == [{"x": 0.0}, {"x": 0.1}, {"x": 0.2}]
    state = Study.open(storage).state
    assert [(i, t["number"]) for i, t in state.trials.items()] == [
        ("mine-0", 0),
        ("mine-1", 1),
        ("mine-2", 2),
    ]


def test_a_worker_of_an_earlier_generation_can_do_nothing(storage):
    old, ledger = bound(storage, "old")
    running = old.create_trial("t")
    idle, _ = bound(storage, "idle")
    new = oracle()
    bind(new, storage, writer("new"), overwrite=True)
    running.status = "FAILED"
    for forbidden in (
        lambda: old.end_trial(running),
        lambda: old.update_space(wide()),
        lambda: ledger.stop("no"),
        lambda: idle.create_trial("t"),
    ):
        with pytest.raises(Fenced, match="reset"):
            forbidden()
    assert len(drain(new)) == 12
    assert "y" not in str(Study.open(storage).state.document["oracle"]["hyperparameters"])


def wide():
    hp = space()
    hp.Float("y", 0, 1)
    return hp


def test_files_of_two_generations_do_not_meet(storage, tmp_path):
    def run(content, **kwargs):
        made = oracle()
        ledger = bind(made, storage, writer(), **kwargs)
        trial = made.create_trial("t")
        (tmp_path / content).mkdir()
        (tmp_path / content / "weights").write_text(content)
        ledger.folder_of = lambda _: tmp_path / content
        made.update_trial(trial.trial_id, {"default_objective": 1.0})
        trial.status = "COMPLETED"
        return made, trial

    old, old_trial = run("old")
    new, new_trial = run("new", overwrite=True)
    new.end_trial(new_trial)
    with pytest.raises(Fenced):
        old.end_trial(old_trial)
    state = Study.open(storage).state
    target = tmp_path / "target"
    target.mkdir()
    artifacts.download(storage, 2, new_trial.trial_id, state.leases[new_trial.trial_id], target)
    assert (target / "weights").read_text() == "new"


def test_reports_survive_a_lost_race(storage, monkeypatch):
    a, _ = bound(storage, "a")
    trial = a.create_trial("t")
    a.update_trial(trial.trial_id, {"default_objective": 4.0}, step=2)
    b, _ = bound(storage, "b")
    put = storage.put_if_absent

    def after_a_rival(key, data):
        monkeypatch.undo()
        run_one(b)
        return put(key, data)

    monkeypatch.setattr(storage, "put_if_absent", after_a_rival)
    a.update_space(wide())
    assert a.get_trial(trial.trial_id).metrics.get_best_value("default_objective") == 4.0
    trial.status = "COMPLETED"
    a.end_trial(trial)
    assert (trial.score, trial.best_step) == (4.0, 2)
    assert len(trial.metrics.get_history("default_objective")[0].value) == 1


def test_what_an_earlier_attempt_reported_does_not_count_in_the_next(storage):
    made, ledger = bound(storage)
    trial = made.create_trial("t")
    made.update_trial(trial.trial_id, {"default_objective": -100.0})
    ledger.close("interrupted", broken_off=True)
    again = made.create_trial("t")
    assert again.trial_id == trial.trial_id
    made.update_trial(again.trial_id, {"default_objective": 5.0})
    again.status = "COMPLETED"
    made.end_trial(again)
    assert again.score == 5.0


def test_a_claim_that_was_interrupted_after_it_landed_is_given_back(storage, monkeypatch):
    made, ledger = bound(storage)
    ledger.open()
    put = storage.put_if_absent

    def interrupted(key, data):
        put(key, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(storage, "put_if_absent", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made.create_trial("t")
    monkeypatch.undo()
    ledger.close("interrupted", broken_off=True)
    assert Study.open(storage).state.running() == {}
    assert made.create_trial("t").trial_id == "00"


def test_who_loses_the_race_of_creation_takes_over_the_seed(storage, monkeypatch):
    find, mine = Study.find, oracle(seed=None)

    def too_early(place):
        monkeypatch.undo()
        bound(storage, "faster", seed=None)
        del place

    monkeypatch.setattr(Study, "find", too_early)
    ledger = bind(mine, storage, writer())
    assert find(storage).state.document["oracle"]["seed"] == mine.seed
    assert ledger.study.state.seq == 1


def test_a_domain_that_was_overridden_stays_so_for_everybody_who_joins(storage):
    bound(storage, hyperparameters=space(0.5))
    joining = kept_oracle(Study.open(storage).state)
    bind(joining, storage, writer())
    assert joining.overridden == ["x"]


def test_a_closed_space_can_be_joined_from_what_the_study_keeps(storage):
    bound(storage, allow_new_entries=False, tune_new_entries=False)
    joining = kept_oracle(Study.open(storage).state)
    bind(joining, storage, writer())
    assert len(drain(joining)) == 12


def test_any_text_can_be_an_error_message(storage):
    made, _ = bound(storage)
    trial = made.create_trial("t")
    trial.status, trial.message = "FAILED", "bad \udcff name " + "xé\u4e2d" * 5000
    made.end_trial(trial)
    kept = Study.open(storage).state.trials[trial.trial_id]["message"]
    assert kept.startswith("bad \udcff name")
    assert len(json.dumps(kept)) <= 2000


def test_an_attempt_counts_as_lost_only_where_it_was_expired(storage):
    a, ledger = bound(storage, "a", max_retries_per_trial=1)
    first = a.create_trial("t")
    pulse = Pulse(Study.open(storage), ledger.writer)
    first.status = "INVALID"
    a.end_trial(first)
    b, _ = bound(storage, "b", max_retries_per_trial=1)
    assert b.create_trial("t").trial_id == first.trial_id
    second = a.create_trial("t")
    assert not pulse.look()
    ledger.study.commit(writer("c"), lambda _: Draft("expire", second.trial_id, 1))
    assert pulse.look()
