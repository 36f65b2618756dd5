"""Grid search, Hyperband, and what all oracles do when a space is used up."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import (
    AshaOracle,
    BayesianOptimizationOracle,
    GridSearchOracle,
    HyperbandOracle,
    RandomSearchOracle,
)
from ktcomponent.oracles.odometer import Odometer
from tests.oracles.searching import end, nothing, run

ALL = {
    "random": lambda **k: RandomSearchOracle("loss", max_trials=None, **k),
    "bayesian": lambda **k: BayesianOptimizationOracle("loss", max_trials=None, **k),
    "grid": lambda **k: GridSearchOracle("loss", **k),
    "asha": lambda **k: AshaOracle("loss", max_epochs=9, max_configurations=None, **k),
    "hyperband": lambda **k: HyperbandOracle("loss", max_epochs=9, hyperband_iterations=None, **k),
}


def tree(hp):
    """18 combinations."""
    if hp.Choice("kind", ["flat", "deep"]) == "deep":
        with hp.conditional_scope("kind", ["deep"]):
            hp.Int("layers", 1, 2)
    hp.Boolean("norm")
    hp.Int("units", 1, 3)


def only_fixed(hp):
    hp.Fixed("rate", 0.1)


def wide_log(hp):
    """Twelve values, some of which are drawn seldom."""
    hp.Int("n", 1, 12, sampling="log")


def continuous_branch(hp):
    """One combination without a continuous hyperparameter, and no end of others."""
    if hp.Boolean("tuned"):
        with hp.conditional_scope("tuned", [True]):
            hp.Float("x", 0, 1)


def distinct(values):
    return {tuple(sorted((k, v) for k, v in each.items() if not k.startswith("tuner/"))) for each in values}


# -- a space that is used up ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "bayesian", "grid"])
@pytest.mark.parametrize(("declare", "size"), [(tree, 9 * 2), (only_fixed, 1), (nothing, 1), (wide_log, 12)])
def test_every_combination_is_tried_once_and_then_the_search_stops(name, declare, size):
    if (name, declare) == ("grid", wide_log):
        size = 10  # a grid takes ten values of a logarithmic scale
    values = run(ALL[name](seed=3), declare)
    assert len(values) == len(distinct(values))
    assert len(values) == size or (name == "grid" and len(values) <= size)


def test_hyperband_stops_cleanly_in_a_space_that_is_used_up():
    oracle = ALL["hyperband"](seed=1)
    values = run(oracle, tree)
    first = [v for v in values if v["tuner/round"] == 0]
    assert len(distinct(first)) == len(first) == 18
    # The rounds that could be filled were run to their end.
    assert {v["tuner/round"] for v in values if v["tuner/bracket"] == 2} == {0, 1, 2}


@pytest.mark.parametrize("name", ["random", "bayesian", "hyperband"])
def test_no_proposal_repeats_an_earlier_one_while_there_are_others(name):
    values = run(ALL[name](seed=2), continuous_branch, limit=60)
    fresh = [v for v in values if v.get("tuner/round", 0) == 0]
    assert len(values) == 60
    assert len(distinct(fresh)) == len(fresh)


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_a_random_search_uses_up_a_conditional_space_whatever_the_seed(seed):
    values = run(RandomSearchOracle("loss", max_trials=None, seed=seed), tree)
    assert len(values) == len(distinct(values)) == 18


def test_an_odometer_counts_what_it_visits():
    space = HyperParameters()
    space.Choice("kind", ["flat", "deep"])
    with space.conditional_scope("kind", ["deep"]):
        space.Int("layers", 1, 4)
    space.Boolean("norm")
    odometer = Odometer(space, lambda hp: list(hp.values))
    seen, values = [], odometer.first()
    while values is not None:
        seen.append(values)
        values = odometer.after(values)
    assert len(seen) == odometer.size() == 2 * (1 + 4)
    assert seen[0] == {"kind": "flat", "norm": True}
    assert seen[-1] == {"kind": "deep", "layers": 4, "norm": False}


def test_a_space_too_large_to_count_has_no_planned_trials():
    space = HyperParameters()
    for i in range(40):
        space.Boolean(f"b{i}")
        with space.conditional_scope(f"b{i}", [True]):
            space.Int(f"n{i}", 1, 9)
    assert GridSearchOracle("loss", hyperparameters=space).planned_trials() is None
    assert GridSearchOracle("loss", max_trials=7, hyperparameters=space).planned_trials() == 7


# -- purity ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_the_state_is_complete_json(name):
    def declare(hp):
        tree(hp)
        hp.Float("x", 0, 1)

    there = ALL[name](seed=5)
    run(there, declare, limit=30)
    here = ALL[name](seed=6)
    here.set_state(json.loads(json.dumps(there.get_state())))
    for _ in range(5):
        a, b = there.create_trial("t"), here.create_trial("t")
        assert a.hyperparameters.values == b.hyperparameters.values
        end(there, a, 0.5)
        end(here, b, 0.5)


@pytest.mark.parametrize("name", ALL)
def test_a_search_depends_on_its_seed_alone(name):
    def declare(hp):
        hp.Float("x", 0, 1)
        hp.Int("n", 1, 100, sampling="log")

    first = run(ALL[name](seed=7), declare, limit=15)
    assert run(ALL[name](seed=7), declare, limit=15) == first
    if name != "grid":
        assert run(ALL[name](seed=8), declare, limit=15) != first


# -- grid ------------------------------------------------------------------------------------------------


def test_a_grid_in_parallel_is_the_same_grid():
    oracle = GridSearchOracle("loss")
    tree(oracle.hyperparameters)
    with oracle.hyperparameters.conditional_scope("kind", ["deep"]):
        oracle.hyperparameters.Int("layers", 1, 2)
    trials = [oracle.create_trial(f"t{i}") for i in range(18)]
    assert {t.status for t in trials} == {"RUNNING"}
    assert len(distinct([t.hyperparameters.values for t in trials])) == 18
    assert oracle.create_trial("t18").status == "IDLE"  # a running trial may discover more
    for trial in trials:
        end(oracle, trial, 1.0)
    assert oracle.create_trial("t18").status == "STOPPED"


# -- hyperband -------------------------------------------------------------------------------------------


def place(trial):
    values = trial.hyperparameters.values
    return values["tuner/bracket"], values["tuner/round"]


def open_hyperband(**kwargs):
    oracle = HyperbandOracle("loss", max_epochs=9, factor=3, seed=1, **kwargs)
    oracle.hyperparameters.Float("x", 0, 1)
    return oracle


def test_a_trial_goes_on_as_soon_as_it_is_sure_to_be_among_the_best():
    oracle = open_hyperband()
    first = [oracle.create_trial(f"t{i}") for i in range(9)]
    assert {place(t) for t in first} == {(2, 0)}
    for n, trial in enumerate(first[:6]):
        end(oracle, trial, float(n))
    # Six of nine have ended and six will be thrown out, so none is sure yet: the next bracket begins.
    assert place(oracle.create_trial("t0")) == (1, 0)
    end(oracle, first[6], 100.0)
    on = oracle.create_trial("t1")
    assert place(on) == (2, 1)
    assert on.hyperparameters.get("tuner/trial_id") == first[0].trial_id


def test_failed_trials_rank_last_and_the_rest_of_the_bracket_is_run():
    oracle = open_hyperband(max_consecutive_failed_trials=100)
    places = []
    while (trial := oracle.create_trial("t")).status == "RUNNING":
        places.append(place(trial))
        failed = place(trial) == (2, 0) and len(places) > 2
        end(oracle, trial, float(len(places)), "FAILED" if failed else "COMPLETED")
    assert trial.status == "STOPPED"
    # Two of nine completed, so two of three go on, and one of them in the last round.
    assert [places.count((2, n)) for n in range(3)] == [9, 2, 1]
    assert [places.count((1, n)) for n in range(2)] == [5, 2]
    assert places.count((0, 0)) == 3


def test_a_bracket_of_failed_trials_ends():
    oracle = open_hyperband(max_consecutive_failed_trials=100)
    count = 0
    while (trial := oracle.create_trial("t")).status == "RUNNING":
        count += 1
        end(oracle, trial, 0.0, "FAILED")
    assert (trial.status, count) == ("STOPPED", 9 + 5 + 3)


def test_a_promoted_round_is_waited_for_in_the_last_bracket():
    oracle = HyperbandOracle("loss", max_epochs=2, factor=2, seed=1)
    oracle.hyperparameters.Float("x", 0, 1)
    trials = [oracle.create_trial(f"t{i}") for i in range(4)]
    assert [place(t) for t in trials] == [(1, 0), (1, 0), (0, 0), (0, 0)]
    assert oracle.create_trial("t4").status == "IDLE"
    end(oracle, trials[0], 1.0)
    assert oracle.create_trial("t4").status == "IDLE"
    end(oracle, trials[1], 0.5)
    assert oracle.create_trial("t4").hyperparameters.get("tuner/trial_id") == trials[1].trial_id


def test_more_iterations_go_on_where_the_search_ended():
    oracle = open_hyperband()
    assert len(run(oracle, nothing)) == oracle.planned_trials() == 23
    oracle.hyperband_iterations = 2
    assert oracle.planned_trials() == 46
    assert len(run(oracle, nothing)) == 23


def test_the_best_are_those_with_the_highest_score_where_that_is_wanted():
    oracle = HyperbandOracle({"name": "acc", "direction": "max"}, max_epochs=3, seed=1)
    oracle.hyperparameters.Float("x", 0, 1)
    for n in range(3):
        trial = oracle.create_trial("t")
        oracle.update_trial(trial.trial_id, {"acc": float(n)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert oracle.create_trial("t").hyperparameters.get("tuner/trial_id") == "0002"


@pytest.mark.parametrize(
    "arguments",
    [{"factor": 1}, {"factor": True}, {"max_epochs": 0}, {"max_epochs": 2.5}, {"hyperband_iterations": -1}],
)
def test_arguments_of_hyperband_that_can_not_be_are_refused(arguments):
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        HyperbandOracle("loss", **arguments)


# -- what a study may bring along --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "bayesian", "grid"])
def test_new_entries_that_are_not_tuned_do_not_make_trials_distinct(name):
    hp = HyperParameters()
    hp.Choice("a", [0, 1, 2])
    oracle = ALL[name](seed=1, hyperparameters=hp, tune_new_entries=False)
    values = run(oracle, lambda hp: hp.Int("b", 5, 9), limit=10)
    assert sorted(v["a"] for v in values) == [0, 1, 2]


def test_two_hyperparameters_of_one_name_may_be_active_at_a_time():
    def declare(hp):
        hp.Choice("m", ["p", "q"])
        for values, options in ((["p", "q"], ["r", "s"]), (["q"], ["t", "u"])):
            with hp.conditional_scope("m", values):
                hp.Choice("c", options)

    for name in ("random", "bayesian"):
        oracle = ALL[name](seed=1)
        declare(oracle.hyperparameters)
        assert len(run(oracle, nothing)) == 4


@pytest.mark.parametrize("name", ["random", "grid", "hyperband"])
def test_ranges_without_end_are_not_listed(name):
    def declare(hp):
        hp.Choice("a", list(range(3)))
        with hp.conditional_scope("a", [2]):
            hp.Int("n", 0, 10**12)
            hp.Float("x", 0, 1, step=1e-9)

    oracle = ALL[name](seed=1)
    declare(oracle.hyperparameters)
    assert len(distinct(run(oracle, nothing, limit=30))) >= 20
    oracle.planned_trials()


def test_a_default_first_axis_is_lazy_and_consistent():
    from ktcomponent.hyperparameters import Float, Int
    from ktcomponent.oracles.grid_search import axis

    for hp in (
        Int("n", 0, 10, step=2, default=4),
        Int("n", 0, 10, step=2, default=3),
        Float("x", 0, 1, step=0.25, default=0.75),
        Float("x", 0, 1, default=0.3),
        Int("n", 1, 1000, sampling="log", default=7),
    ):
        values = list(axis(hp))
        assert values[0] == hp.default
        assert values[1:] == [v for v in hp.values if v != hp.default]
        assert [axis(hp).index(v) for v in values] == list(range(len(values)))
        assert all(v in axis(hp) for v in values)
        assert "x" not in axis(hp)


def test_counts_may_be_of_any_whole_type():
    oracle = RandomSearchOracle("loss", max_trials=np.int64(3), max_retries_per_trial=1.0)
    assert (oracle.max_trials, oracle.max_retries_per_trial) == (3, 1)
    assert type(oracle.max_trials) is int
