"""Rules that end trainings early: when they do, what they look at, and what is kept of it."""

import json

import pytest

from ktcomponent.errors import ConfigurationError
from ktcomponent.oracles import AshaOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle
from ktcomponent.oracles.curves import probability_below
from ktcomponent.oracles.stopping import AshaRule, CurveRule, MedianRule, stopping_rule
from ktcomponent.study.binding import bind
from ktcomponent.study.study import Study
from ktcomponent.tuners.base_tuner import BaseTuner
from tests.oracles.searching import end


def at(rung, values):
    """Trainings that had reached these values at a rung."""
    return [{rung: value} for value in values]


def declare(oracle):
    oracle.hyperparameters.Float("x", 0, 1)
    return oracle


def train(oracle, trial, curve):
    """Reports a curve, epoch by epoch, as far as the rule lets it; returns the number of epochs."""
    for epoch, value in enumerate(curve):
        told = oracle.update_trial(trial.trial_id, {"loss": value}, step=epoch)
        if told.status == "STOPPED":
            break
    end_as_it_is(oracle, trial)
    return epoch + 1


def end_as_it_is(oracle, trial):
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


@pytest.mark.parametrize(
    ("rule", "rungs"),
    [
        (MedianRule(), [1, 2, 4, 8, 16]),
        (MedianRule(min_steps=3, factor=2), [3, 6, 12]),
        (AshaRule(), [1, 3, 9]),
        (AshaRule(min_steps=1.25, factor=2), [2, 3, 5, 10, 20]),
        (AshaRule(factor=1.5), [1, 2, 3, 4, 6, 8]),
        (MedianRule(factor=1.1), [1, 2, 3, 4, 5, 6]),
        (MedianRule(factor=1.5), [1, 2, 3, 5, 7, 11]),
    ],
)
def test_rungs_are_spaced_by_the_factor(rule, rungs):
    seen = sorted({rule.rung(steps) for steps in range(rungs[0], rungs[-1] + 1)})
    assert seen == rungs
    assert rule.rung(rungs[0] - 1) is None


def test_the_median_rule_ends_the_worse_half():
    rule = MedianRule(leaders=0)
    assert rule.is_hopeless({1: 0.0, 2: 3.5}, at(2, [1, 2, 3, 4, 5]))
    assert not rule.is_hopeless({2: 3.0}, at(2, [1, 2, 3, 4, 5]) + at(1, [0, 0, 0]))
    assert rule.is_hopeless({2: float("inf")}, at(2, [1, 2]))


def test_the_median_rule_compares_with_the_latest():
    improving = at(2, [9.0] * 20 + [2.0, 1.0] * 5)
    assert MedianRule(leaders=0).is_hopeless({2: 1.6}, improving)
    assert not MedianRule(leaders=0).is_hopeless({2: 1.4}, improving)
    assert not MedianRule(leaders=0, latest=30).is_hopeless({2: 8.0}, improving)
    # Those that have not come as far don't count as the latest.
    assert MedianRule(leaders=0).is_hopeless({2: 1.6}, improving + at(1, [9.0] * 10))


def test_a_training_that_begins_as_one_of_the_best_did_goes_on():
    fast = [{2: 1.0 + n / 10, 8: 1.0} for n in range(6)]
    slow = [{2: 5.0, 8: 0.1}, {2: 4.0, 8: 0.2}]
    assert MedianRule(leaders=0).is_hopeless({2: 4.5}, fast + slow)
    assert not MedianRule().is_hopeless({2: 4.5}, fast + slow)
    assert MedianRule().is_hopeless({2: 5.5}, fast + slow)
    running = {2: 5.0}
    assert MedianRule(leaders=2).is_hopeless({2: 4.5}, [*fast, running, {2: 4.0, 8: 0.2}])


def test_asha_lets_one_in_factor_go_on():
    rule = AshaRule(factor=3)
    assert not rule.is_hopeless({3: 0.5}, at(3, [1, 2]))
    assert rule.is_hopeless({3: 1.5}, at(3, [1, 2]))
    others = at(3, [1, 2, 3, 4, 5])  # with it six, of which two go on
    assert not rule.is_hopeless({3: 1.5}, others)
    assert rule.is_hopeless({3: 2.5}, others)


def power_law(a, b, c, steps=(1, 2, 3, 5, 7, 11)):
    return {t: a + b * t**-c for t in steps}


def test_a_curve_ends_when_it_leads_nowhere_near_the_best():
    rule = CurveRule()
    others = [power_law(a, 1.0, 0.7, (1, 2, 3, 5, 7, 11, 16, 24, 36)) for a in (0.1, 0.2, 0.4, 0.6, 0.8)]
    assert rule.is_hopeless(power_law(0.9, 1.0, 0.7), others)
    # It is behind the best after 11 steps, and will overtake it.
    late = power_law(-0.4, 1.6, 0.35)
    assert late[11] > others[0][11]
    assert not rule.is_hopeless(late, others)
    assert not rule.is_hopeless({1: 9.0, 2: 9.0, 3: 9.0}, others)  # too few to tell
    assert not rule.is_hopeless(dict.fromkeys((1, 2, 3, 5), 1.0), [dict.fromkeys((1, 2, 3, 5), 1.0)] * 5)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_continuation_of_a_curve_does_not_depend_on_its_unit(scale):
    curve = {t: scale * (7.0 + v) for t, v in power_law(0.9, 1.0, 0.7).items()}
    told = [probability_below(curve, 36, scale * (7.0 + bound), 0.5 * scale) for bound in (0.5, 0.95, 1.5)]
    assert told[0] < 0.01 < 0.1 < told[1] < 0.5 < 0.99 < told[2]  # it will be 0.981


@pytest.mark.parametrize("sign", [1, -1])
def test_a_training_that_is_behind_is_told_to_stop_and_counts_with_what_it_has(sign):
    objective = {"name": "loss", "direction": "min" if sign == 1 else "max"}
    oracle = declare(RandomSearchOracle(objective, max_trials=None, seed=1, stopping="median"))
    for n in range(6):
        assert train(oracle, oracle.create_trial("t"), [sign * (10.0 - n - e) for e in range(8)]) == 8
    trial = oracle.create_trial("t")
    assert train(oracle, trial, [sign * v for v in (6.0, 7.5, 5.0, 4.6, 0.0)]) == 4
    assert (trial.status, trial.score, trial.stopped) == ("COMPLETED", sign * 4.6, 4)
    assert trial.rungs == {1: sign * 6.0, 2: sign * 6.0, 4: sign * 4.6}
    good = oracle.create_trial("t")
    assert train(oracle, good, [sign * (1.0 - 0.1 * e) for e in range(8)]) == 8
    assert good.stopped is None


@pytest.mark.parametrize(
    ("rule", "ends_after"), [("median", 8), ({"rule": "median", "grace": 0}, 1), ("asha", 1)]
)
def test_what_begins_slowly_has_grace(rule, ends_after):
    oracle = declare(RandomSearchOracle("loss", max_trials=None, seed=1, stopping=rule))
    running = [oracle.create_trial(f"t{n}") for n in range(6)]
    for n, trial in enumerate(running):
        for epoch in range(50):
            oracle.update_trial(trial.trial_id, {"loss": n / (epoch + 1)}, step=epoch)
            if n > 2 and rule == "median":  # of what goes on nobody knows yet how long a training is
                assert trial.stopped is None
    for trial in running:
        end_as_it_is(oracle, trial)
    assert train(oracle, oracle.create_trial("t"), [9.0] * 50) == ends_after


def test_a_diverged_training_has_no_grace():
    oracle = declare(RandomSearchOracle("loss", max_trials=None, seed=1, stopping="median"))
    for n in range(5):
        train(oracle, oracle.create_trial("t"), [float(n)] * 50)
    assert train(oracle, oracle.create_trial("t"), [float("nan")] * 50) == 1


def test_without_a_rule_nothing_is_kept_or_stopped():
    oracle = declare(RandomSearchOracle("loss", max_trials=None, seed=1))
    for n in range(8):
        trial = oracle.create_trial("t")
        assert train(oracle, trial, [float(n)] * 5) == 5
        assert trial.rungs == {}


def test_nan_is_worse_than_anything():
    oracle = declare(RandomSearchOracle("loss", max_trials=None, seed=1, stopping="median"))
    for n in range(5):
        train(oracle, oracle.create_trial("t"), [float(n)])
    trial = oracle.create_trial("t")
    assert oracle.should_stop(trial.trial_id, float("nan"), 0)


def test_an_interval_of_reports_may_pass_over_rungs():
    oracle = declare(RandomSearchOracle("loss", max_trials=None, seed=1, stopping="asha"))
    trial = oracle.create_trial("t")
    for step in (4, 9, 14):
        oracle.update_trial(trial.trial_id, {"loss": 20.0 - step}, step=step)
    assert trial.rungs == {3: 16.0, 9: 11.0}


def test_the_state_keeps_rungs():
    oracle = declare(RandomSearchOracle("loss", max_trials=None, seed=1, stopping="median"))
    for n in range(6):
        train(oracle, oracle.create_trial("t"), [float(n)] * 3)
    last = oracle.create_trial("t")
    train(oracle, last, [9.0] * 3)
    again = RandomSearchOracle("loss", max_trials=None, stopping="median")
    again.set_state(json.loads(json.dumps(oracle.get_state())))
    assert {i: (t.rungs, t.stopped) for i, t in again.trials.items()} == {
        i: (t.rungs, t.stopped) for i, t in oracle.trials.items()
    }
    assert again.trials[last.trial_id].stopped == 1


def test_a_large_loss_in_the_beginning_says_nothing_of_how_a_curve_goes_on():
    rule = CurveRule(max_steps=50)
    others = [power_law(0.1 + 0.01 * n, 0.5, 1.0, (1, 2, 3, 5, 7, 11, 16, 24)) for n in range(6)]
    flat = {2: 0.9, 3: 0.85, 5: 0.82, 7: 0.81, 11: 0.805, 16: 0.80}
    for first in (1.0, 10.0, 1000.0):
        assert rule.is_hopeless({1: first, **flat}, others)


@pytest.mark.parametrize(
    "given",
    [
        {"rule": "curve", "probability": 5},
        "best",
        3,
        {"rule": "median", "steps": 3},
        {"min_steps": 3},
        {"rule": "asha", "factor": 1},
    ],
)
def test_rules_that_can_not_be_are_refused(given):
    with pytest.raises(ConfigurationError, match="stopping"):
        RandomSearchOracle("loss", stopping=given)


def test_a_rule_comes_back_from_its_configuration():
    for rule in (MedianRule(3, 1.5, 4), AshaRule(2, 4)):
        again = stopping_rule(rule.get_config())
        assert (type(again), vars(again)) == (type(rule), vars(rule))
    oracle = GridSearchOracle("loss", stopping={"rule": "median", "min_steps": 3})
    other = GridSearchOracle("loss")
    other.apply_settings(oracle.settings())
    assert other.stopping.get_config() == oracle.stopping.get_config()


def test_not_a_number_ends_a_training_also_where_others_had_none_either():
    oracle = declare(RandomSearchOracle("loss", max_trials=None, seed=1, stopping="median"))
    for n in range(6):
        trial = oracle.create_trial("t")
        oracle.should_stop(trial.trial_id, float("nan") if n % 2 else 1.0, 0)
        end(oracle, trial, 1.0, "FAILED" if n % 2 else "COMPLETED")
    trial = oracle.create_trial("t")
    assert oracle.should_stop(trial.trial_id, float("nan"), 0)


def test_a_rule_of_ones_own_is_refused():
    class Mine(MedianRule):
        pass

    with pytest.raises(ConfigurationError, match="stopping"):
        RandomSearchOracle("loss", stopping=Mine())


def test_what_update_trial_returned_may_end_the_trial():
    oracle = declare(
        RandomSearchOracle("loss", max_trials=None, seed=1, stopping={"rule": "median", "min_trials": 1})
    )
    train(oracle, oracle.create_trial("t"), [1.0, 1.0])
    trial = oracle.create_trial("t")
    told = oracle.update_trial(trial.trial_id, {"loss": 2.0}, step=0)
    assert told.status == "STOPPED"
    oracle.end_trial(told)
    assert (oracle.trials[trial.trial_id].status, oracle.trials[trial.trial_id].score) == ("COMPLETED", 2.0)


def test_hyperband_does_not_go_on_with_a_training_that_was_ended():
    for stopped in (False, True):
        oracle = declare(HyperbandOracle("loss", max_epochs=4, factor=2, seed=1))
        size = oracle._get_size(2, 0)
        trials = [oracle.create_trial(f"t{n}") for n in range(size)]
        for n, trial in enumerate(trials):
            oracle.update_trial(trial.trial_id, {"loss": float(n)})
            trial.stopped = 1 if stopped and n == 0 else None
            end_as_it_is(oracle, trial)
        following = oracle.create_trial("next").hyperparameters.values
        assert following["tuner/trial_id"] == trials[1 if stopped else 0].trial_id


def test_a_training_that_comes_to_its_own_end_is_not_ended():
    oracle = declare(AshaOracle("loss", max_epochs=9, max_configurations=4, variant="stopping", seed=1))
    for n in range(4):
        assert train(oracle, oracle.create_trial("t"), [1.0 + n] * 9) == (9 if n < 2 else 1)
    assert [t.stopped for t in oracle.trials.values()] == [None, None, 1, 1]
    assert set(oracle.trials["0000"].rungs) == {1, 3}


def test_a_promoted_training_is_not_judged_where_it_was_before():
    rule = {"rule": "asha", "min_trials": 1}
    oracle = declare(AshaOracle("loss", max_epochs=9, max_configurations=3, stopping=rule, seed=1))
    for n in range(3):
        train(oracle, oracle.create_trial("t"), [1.0 + n])
    promoted = oracle.create_trial("t")
    assert promoted.hyperparameters.values["tuner/initial_epoch"] == 1
    assert oracle.due_rung(promoted.trial_id, 1) is None
    assert oracle.due_rung(oracle.trials["0000"].trial_id, 0) is None


# -- on a study --------------------------------------------------------------------------------------------


def bound(storage, name, writer_of, **options):
    oracle = declare(RandomSearchOracle("loss", max_trials=20, seed=1, **options))
    return oracle, bind(oracle, storage, writer_of(name))


def test_lanes_judge_each_others_trainings_by_a_commit_a_rung(storage):
    from tests.study.test_search_on_a_study import writer

    a, _ = bound(storage, "a", writer, stopping="median")
    b, _ = bound(storage, "b", writer, stopping="median")
    for n in range(5):
        train(a, a.create_trial("a"), [float(n)] * 8)
    running = a.create_trial("a")
    a.update_trial(running.trial_id, {"loss": 0.5}, step=0)  # seen by the other while it runs
    before = Study.open(storage).state.seq
    trial = b.create_trial("b")
    assert train(b, trial, [1.4, 1.9, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]) == 8
    log = Study.open(storage).state.seq - before
    assert log == 1 + 1 + 4 + 1  # takeover, claim, four rungs, finish
    late = b.create_trial("b")
    assert train(b, late, [2.4] * 8) == 2  # of 8 steps the first ends nothing
    a.refresh()
    assert a.trials[late.trial_id].stopped == 2
    assert set(a.trials[trial.trial_id].rungs) == {1, 2, 4, 8}
    assert a.trials[trial.trial_id].metrics.get_history("loss")[0].value == [1.4]


def test_an_attempt_that_was_lost_leaves_no_rungs(storage):
    from tests.study.test_search_on_a_study import writer

    oracle, ledger = bound(storage, "a", writer, stopping="asha")
    trial = oracle.create_trial("a")
    oracle.update_trial(trial.trial_id, {"loss": 5.0}, step=0)
    assert Study.open(storage).state.trials[trial.trial_id]["rungs"] == {"1": 5.0}
    ledger.close("given back")
    again = oracle.create_trial("a")
    assert (again.trial_id, again.rungs, again.stopped) == (trial.trial_id, {}, None)
    end(oracle, again, 1.0)
    assert Study.open(storage).state.trials[trial.trial_id]["rungs"] == {"1": 1.0}


class Reports(BaseTuner):
    def run_trial(self, trial):
        self.oracle.update_trial(trial.trial_id, {"loss": trial.hyperparameters.get("x")})


class Returns(BaseTuner):
    def run_trial(self, trial):
        return trial.hyperparameters.get("x")


@pytest.mark.parametrize(("cls", "ended"), [(Reports, True), (Returns, False)])
def test_a_program_of_its_own_is_judged_by_what_it_reports_on_the_way(tmp_path, cls, ended):
    oracle = declare(RandomSearchOracle(max_trials=8, seed=1, stopping="median"))
    oracle.objective.name = "loss" if cls is Reports else oracle.objective.name
    cls(oracle, directory=tmp_path).search()
    assert {t.status for t in oracle.trials.values()} == {"COMPLETED"}
    assert any(t.stopped for t in oracle.trials.values()) == ended


def test_an_older_study_has_the_defaults_of_what_it_does_not_keep(storage, monkeypatch):
    from tests.study.test_search_on_a_study import writer

    settings = RandomSearchOracle.settings
    with monkeypatch.context() as patch:
        patch.setattr(
            RandomSearchOracle,
            "settings",
            lambda self: {k: v for k, v in settings(self).items() if k != "stopping"},
        )
        bound(storage, "a", writer)
    oracle = declare(RandomSearchOracle("loss", max_trials=20, seed=1, stopping="median"))
    with pytest.warns(UserWarning, match="stopping is None"):
        bind(oracle, storage, writer("b"), study_wins=True)
    oracle.refresh()
    assert oracle.stopping is None
    oracle, _ = bound(storage, "c", writer, stopping="median")
    oracle.refresh()
    assert oracle.stopping.name == "median"


@pytest.mark.parametrize("rule", ["median", "asha", "curve"])
def test_a_training_that_diverged_does_not_spoil_the_rule(rule):
    oracle = declare(RandomSearchOracle("loss", max_trials=None, seed=1, stopping=rule))
    train(oracle, oracle.create_trial("t"), [1.0] * 4 + [float("nan")] * 12)
    lengths = [
        train(oracle, oracle.create_trial("t"), [a + t**-0.7 for t in range(1, 17)])
        for a in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9)
    ]
    assert lengths[0] == 16 > lengths[-1]
