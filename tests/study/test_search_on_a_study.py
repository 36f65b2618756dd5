"""The built-in algorithms on a study: no state of their own, so any worker can go on."""

import itertools

import pytest

from ktcomponent.oracles import (
    AshaOracle,
    BayesianOptimizationOracle,
    GridSearchOracle,
    HyperbandOracle,
    RandomSearchOracle,
)
from ktcomponent.oracles.registry import BUILT_IN, class_name
from ktcomponent.study import Writer, incarnations
from ktcomponent.study.binding import bind, kept_oracle
from ktcomponent.tuners.base_tuner import BaseTuner

ALL = {
    "random": lambda: RandomSearchOracle("loss", max_trials=16, seed=2),
    "bayesian": lambda: BayesianOptimizationOracle("loss", max_trials=16, num_initial_points=6, seed=2),
    "grid": lambda: GridSearchOracle("loss", seed=2),
    "asha": lambda: AshaOracle("loss", max_epochs=9, max_configurations=12, seed=2),
    "hyperband": lambda: HyperbandOracle("loss", max_epochs=9, seed=2),
}


def declared(oracle):
    hp = oracle.hyperparameters
    hp.Choice("kind", ["flat", "deep"])
    with hp.conditional_scope("kind", ["deep"]):
        hp.Int("layers", 1, 5)
    hp.Float("rate", 0.1, 0.5, step=0.2)
    if not isinstance(oracle, GridSearchOracle):
        hp.Float("x", 0, 1)
    return oracle


def writer(owner):
    return Writer(owner, incarnations.new_incarnation())


def own(values):
    return {k: v for k, v in values.items() if not k.startswith("tuner/")}


def score(trial):
    return loss(own(trial.hyperparameters.values))


def loss(values):
    return sum(v if isinstance(v, (int, float)) else len(v) for v in values.values())


def run_one(oracle, tuner_id="t"):
    trial = oracle.create_trial(tuner_id)
    if trial.status == "RUNNING":
        oracle.update_trial(trial.trial_id, {"loss": score(trial)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return trial


def drain(oracle, limit=1000):
    values = []
    for _ in range(limit):
        trial = run_one(oracle)
        if trial.status != "COMPLETED":
            break
        values.append(dict(trial.hyperparameters.values))
    return values


@pytest.mark.parametrize("name", ALL)
def test_a_bound_search_proposes_what_one_in_memory_proposes(storage, name):
    alone = drain(declared(ALL[name]()))
    oracle = declared(ALL[name]())
    bind(oracle, storage, writer("w"))
    assert drain(oracle) == alone


@pytest.mark.parametrize("name", ALL)
def test_a_search_goes_on_in_another_process_after_every_few_trials(storage, name):
    alone = drain(declared(ALL[name]()))
    values = []
    for part in itertools.count():
        oracle = declared(ALL[name]())
        ledger = bind(oracle, storage, writer(f"w{part}"), study_wins=True)
        found = drain(oracle, limit=3)
        if not found:
            break
        values += found
        ledger.close("the batch is done")
    assert values == alone


@pytest.mark.parametrize("name", ALL)
@pytest.mark.slow
def test_lanes_share_one_search(storage, name):
    """Three workers in turn, each of which holds a trial while the others claim theirs."""
    alone = drain(declared(ALL[name]()))
    oracles = []
    for lane in range(3):
        oracle = declared(ALL[name]())
        bind(oracle, storage, writer(f"lane{lane}"))
        oracles.append(oracle)
    held, ended, idle = {}, [], 0
    for turn in itertools.cycle(range(3)):
        oracle = oracles[turn]
        if turn in held:
            trial = held.pop(turn)
            oracle.update_trial(trial.trial_id, {"loss": score(trial)})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
            ended.append(dict(trial.hyperparameters.values))
            continue
        trial = oracle.create_trial("t")
        if trial.status == "RUNNING":
            held[turn] = trial
        elif trial.status == "STOPPED":
            break
        else:
            idle += 1
            assert idle < 1000
    assert held == {}
    if name == "asha":
        # A rung takes one more where the best one before it came when all places were taken, so their number follows from the
        # order of ends; but the best one of each rung always goes on.
        for found in (ended, alone):
            rungs = {epochs: [own(v) for v in found if v["tuner/epochs"] == epochs] for epochs in (1, 3, 9)}
            assert len(rungs[1]) == 12
            assert 4 <= len(rungs[3]) <= 6
            assert 1 <= len(rungs[9]) <= 4
            assert min(rungs[1], key=loss) in rungs[3]
            assert min(rungs[3], key=loss) in rungs[9]
    else:
        assert len(ended) == len(alone)
    keys = [tuple(sorted((k, str(v)) for k, v in each.items())) for each in ended]
    assert len(set(keys)) == len(keys)


def test_a_slot_of_hyperband_is_not_lost_with_its_lane(storage):
    first, second = (declared(ALL["hyperband"]()) for _ in range(2))
    lost = bind(first, storage, writer("dies"))
    bind(second, storage, writer("lives"))
    trial = first.create_trial("t")
    lost.close("told to end", broken_off=True)
    values = drain(second)
    assert values[0] == trial.hyperparameters.values
    assert len(values) == second.planned_trials()


def test_a_commit_of_a_built_in_algorithm_has_no_state_of_its_own(storage):
    for name, make in ALL.items():
        assert set(declared(make()).get_state()) <= {
            "hyperparameters",
            "seed",
            "seed_state",
            "trials",
            "ongoing_trials",
        }, name


def test_every_built_in_oracle_can_be_made_from_what_a_study_keeps(storage):
    oracle = declared(ALL["hyperband"]())
    ledger = bind(oracle, storage, writer("w"))
    run_one(oracle)
    again = kept_oracle(ledger.study.state)
    assert class_name(again) == "Hyperband"
    assert again.settings() == oracle.settings()
    assert {class_name(make()) for make in ALL.values()} == set(BUILT_IN)


@pytest.mark.parametrize(
    ("name", "change"),
    [("bayesian", {"beta": 1.0}), ("hyperband", {"hyperband_iterations": 2}), ("random", {"max_trials": 20})],
)
def test_a_changed_setting_takes_effect_and_is_recorded(storage, name, change):
    oracle = declared(ALL[name]())
    ledger = bind(oracle, storage, writer("w"))
    drain(oracle)
    before = ledger.study.state.seq
    changed = declared(ALL[name]())
    for key, value in change.items():
        setattr(changed, key, value)
    ledger = bind(changed, storage, writer("w2"))
    state = ledger.study.state
    assert state.seq == before + 1
    assert {k: state.config["oracle"][k] for k in change} == change
    if name != "bayesian":
        assert state.stop is None  # a raised limit goes on
        assert drain(changed)


def test_a_bracket_can_not_be_changed_under_way(storage):
    from ktcomponent.errors import StudyMismatch

    oracle = declared(ALL["hyperband"]())
    bind(oracle, storage, writer("w"))
    other = declared(HyperbandOracle("loss", max_epochs=27, seed=2))
    with pytest.raises(StudyMismatch, match="max_epochs"):
        bind(other, storage, writer("w2"))


def test_an_old_run_of_failures_does_not_count_after_the_search_went_on(storage):
    from ktcomponent.errors import TooManyFailedTrials

    oracle = declared(ALL["random"]())
    ledger = bind(oracle, storage, writer("w"))

    def fail(made):
        trial = made.create_trial("t")
        trial.status = "FAILED"
        trial.message = "Traceback: broken"
        made.end_trial(trial)

    fail(oracle)
    fail(oracle)
    with pytest.raises(TooManyFailedTrials):
        fail(oracle)
    assert ledger.study.state.stop["failures"]
    assert oracle.create_trial("t").status == "STOPPED"
    again = declared(ALL["random"]())
    ledger = bind(again, storage, writer("w2"))
    ledger.go_on_after_failures()
    assert ledger.study.state.stop is None
    fail(again)
    fail(again)
    assert run_one(again).status == "COMPLETED"
    fail(again)
    fail(again)
    with pytest.raises(TooManyFailedTrials):
        fail(again)
    assert ledger.study.state.stop["failures"]


def test_what_a_tuner_keeps_goes_with_the_commits_of_its_trials(storage):
    oracle = declared(ALL["random"]())
    ledger = bind(oracle, storage, writer("w"))
    kept = {"seen": []}
    ledger.along.keep_of_tuner("t", lambda: kept)
    for n in range(3):
        run_one(oracle)
        kept["seen"].append(n)
    before = ledger.study.state.seq
    ledger.flush()
    ledger.flush()
    assert ledger.study.state.seq == before + 1
    other = bind(declared(ALL["random"]()), storage, writer("w2"))
    assert other.tuner_state("t") == {"seen": [0, 1, 2]}
    assert other.tuner_state("u") is None


def test_saving_a_tuner_loses_nothing_of_what_others_did(storage):
    a, b = declared(ALL["random"]()), declared(ALL["random"]())
    ledger, other = bind(a, storage, writer("a")), bind(b, storage, writer("b"))
    mine, theirs = a.create_trial("a"), b.create_trial("b")
    b.update_trial(theirs.trial_id, {"loss": 1.0})
    theirs.hyperparameters.Int("found", 1, 3)
    theirs.status = "COMPLETED"
    b.end_trial(theirs)
    ledger.along.keep_of_tuner("a", lambda: {"n": 1})
    ledger.flush()
    a.update_trial(mine.trial_id, {"loss": 2.0})
    mine.status = "COMPLETED"
    a.end_trial(mine)
    other.refresh()
    assert "found" in [hp.name for hp in b.hyperparameters.space]
    assert sorted(t.ended for t in b.trials.values()) == [0, 1]
    assert run_one(a).trial_id == "02"


def test_a_setting_that_is_no_limit_does_not_reopen_what_a_person_stopped(storage):
    oracle = declared(ALL["bayesian"]())
    ledger = bind(oracle, storage, writer("w"))
    run_one(oracle)
    incarnations.stop(ledger.study, ledger.writer, "a person stopped it")
    for beta, max_trials, is_open in ((9.0, 16, False), (9.0, 17, True)):
        changed = declared(ALL["bayesian"]())
        changed.beta, changed.max_trials = beta, max_trials
        state = bind(changed, storage, writer("w2")).study.state
        assert (state.stop is None) == is_open
        assert state.config["oracle"]["beta"] == 9.0


def test_looking_for_work_fits_no_process(storage, monkeypatch):
    oracle = declared(ALL["bayesian"]())
    ledger = bind(oracle, storage, writer("w"))
    drain(oracle, limit=8)
    monkeypatch.setattr(BayesianOptimizationOracle, "_sampler", None)
    assert ledger.peek() == "RUNNING"


def test_a_lost_race_does_not_fit_again(storage, monkeypatch):
    from ktcomponent.oracles.bayesian.gaussian_process import Prior

    oracle, other = declared(ALL["bayesian"]()), declared(ALL["bayesian"]())
    bind(oracle, storage, writer("w"))
    bind(other, storage, writer("v"))
    drain(oracle, limit=7)
    fits = []
    fit = Prior.fit
    monkeypatch.setattr(Prior, "fit", lambda self, *a: (fits.append(1), fit(self, *a))[1])
    statuses = [oracle.create_trial(name).status for name in "tuv"]
    assert (statuses, len(fits)) == (["RUNNING"] * 3, 2)  # of the two views of the scores
    assert other.create_trial("t").status == "RUNNING"


def test_a_follower_neither_creates_nor_resets(storage):
    from ktcomponent.errors import StudyNotFound
    from ktcomponent.study.follower import FollowerLedger, wait_for_study

    with pytest.raises(StudyNotFound, match="chief"):
        wait_for_study(storage, timeout_s=0.3)
    chief = declared(ALL["random"]())
    ledger = bind(chief, storage, writer("chief"))
    wait_for_study(storage)
    oracle = declared(ALL["random"]())
    follower = FollowerLedger(bind(oracle, storage, writer("other"), writes=False))
    oracle.bind(follower)
    assert oracle.create_trial("job").status == "IDLE"
    trial = chief.create_trial("job")
    same = oracle.create_trial("job")
    assert (same.trial_id, same.hyperparameters.values) == (trial.trial_id, trial.hyperparameters.values)
    assert oracle.create_trial("job").status == "IDLE"
    same.status = "COMPLETED"
    oracle.update_trial(same.trial_id, {"loss": 7.0})
    oracle.end_trial(same)
    ledger.refresh()
    assert chief.get_trial(trial.trial_id).status == "RUNNING"
    assert len(ledger.study.state.owners) == 1


INFINITY = float("inf")


class Odd(BaseTuner):
    """Strings that JSON could take for numbers, and numbers that it has no form for."""

    def run_trial(self, trial):
        hp = trial.hyperparameters
        hp.Choice("norm", ["l1", "l2", "inf"])
        hp.Choice("fill", ["nan", "inf", "-inf"])
        hp.Fixed("missing", "nan")
        hp.Fixed("most", INFINITY)
        clip = hp.Choice("clip", [1.0, INFINITY])
        with hp.conditional_scope("clip", [INFINITY]):
            if clip == INFINITY:
                hp.Int("n", 1, 5)
        self.ran.append(dict(hp.values))
        return float(len(self.ran))


def test_strings_and_numbers_without_a_form_in_json_come_back_as_they_were(tmp_path):
    ran = []
    for trials in (4, 12):  # the second goes on with the study
        tuner = Odd(RandomSearchOracle(max_trials=trials, seed=1), directory=tmp_path)
        tuner.ran = ran
        tuner.search()
    assert any(values["clip"] == INFINITY for values in ran)
    assert any(values["norm"] == "inf" for values in ran)
    again = Odd(RandomSearchOracle(max_trials=12, seed=1), directory=tmp_path)
    kept = [trial.hyperparameters.values for trial in again.oracle.trials.values()]
    assert [repr(values) for values in kept] == [repr(values) for values in ran]
    assert again.get_best_hyperparameters()[0].values == ran[0]
