"""Grid search, Hyperband, Bayesian optimization, and what all oracles do when a space is used up."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.hyperparameters.cube import Cube
from ktcomponent.oracles import (
    BayesianOptimizationOracle,
    GridSearchOracle,
    HyperbandOracle,
    RandomSearchOracle,
)
from ktcomponent.oracles.gaussian_process import GaussianProcess
from ktcomponent.oracles.odometer import Odometer

ALL = {
    "random": lambda **k: RandomSearchOracle("loss", max_trials=None, **k),
    "bayesian": lambda **k: BayesianOptimizationOracle("loss", max_trials=None, **k),
    "grid": lambda **k: GridSearchOracle("loss", **k),
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


def nothing(hp):
    pass


def wide_log(hp):
    """Twelve values, some of which are drawn seldom."""
    hp.Int("n", 1, 12, sampling="log")


def continuous_branch(hp):
    """One combination without a continuous hyperparameter, and no end of others."""
    if hp.Boolean("tuned"):
        with hp.conditional_scope("tuned", [True]):
            hp.Float("x", 0, 1)


def end(oracle, trial, score, status="COMPLETED"):
    if status == "COMPLETED":
        oracle.update_trial(trial.trial_id, {"loss": score})
    trial.status = status
    oracle.end_trial(trial)


def run(oracle, declare, limit=200, score=lambda hp, n: float(n)):
    """The values of all trials, until the oracle stops."""
    values = []
    while len(values) < limit:
        trial = oracle.create_trial("t")
        if trial.status == "STOPPED":
            return values
        assert trial.status == "RUNNING"
        declare(trial.hyperparameters)
        values.append(dict(trial.hyperparameters.values))
        end(oracle, trial, score(trial.hyperparameters, len(values)))
    return values


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


@settings(max_examples=30, deadline=None)
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


# -- Bayesian optimization ---------------------------------------------------------------------------------


def branin(hp, _):
    """Three minima of 0.398: L. C. W. Dixon, G. P. Szego (1978)."""
    x, y = hp.get("x"), hp.get("y")
    return (
        (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )


def declare_branin(hp):
    hp.Float("x", -5, 10)
    hp.Float("y", 0, 15)


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["min", "max"])
def test_it_finds_a_minimum_that_random_search_does_not(direction):
    sign = 1 if direction == "min" else -1
    objective = {"name": "loss", "direction": direction}
    best = {}
    for cls in (BayesianOptimizationOracle, RandomSearchOracle):
        found = []
        for seed in range(3):
            oracle = cls(objective, max_trials=30, seed=seed)
            run(oracle, declare_branin, score=lambda hp, n: sign * branin(hp, n))
            found.append(sign * oracle.get_best_trials()[0].score)
        best[cls] = float(np.median(found))
    assert best[BayesianOptimizationOracle] < 0.8
    assert best[BayesianOptimizationOracle] < best[RandomSearchOracle]


def test_trials_that_run_side_by_side_are_spread():
    oracle = BayesianOptimizationOracle("loss", max_trials=50, num_initial_points=10, seed=1)
    run(oracle, declare_branin, limit=12, score=branin)
    batch = [oracle.create_trial(f"t{i}").hyperparameters for i in range(4)]
    points = np.array([[hp.get("x") / 15, hp.get("y") / 15] for hp in batch])
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)[np.triu_indices(4, 1)]
    assert distances.min() > 0.01


@pytest.mark.slow
def test_beta_governs_how_much_it_explores():
    def spread(beta):
        oracle = BayesianOptimizationOracle("loss", max_trials=40, num_initial_points=8, beta=beta, seed=4)
        values = run(oracle, declare_branin, score=branin)[8:]
        return float(np.std([v["x"] for v in values]))

    assert spread(0.01) < spread(20.0)


def test_a_process_interpolates_and_knows_what_it_does_not_know():
    X = np.array([[0.1], [0.4], [0.5], [0.9]])
    y = np.sin(6 * X[:, 0])
    process = GaussianProcess(X, y, noise=1e-6)
    mean, _ = process.predict(X)
    assert mean == pytest.approx(y, abs=0.05)
    far, near = process.predict(np.array([[0.7], [0.41]]))[1]
    assert near < far
    fantasy = process.with_points(np.array([[0.7]]))
    assert fantasy.predict(np.array([[0.7]]))[1][0] < far
    assert fantasy.predict(np.array([[0.7]]))[0] == pytest.approx(
        process.predict(np.array([[0.7]]))[0], abs=0.05
    )


def test_the_gradient_of_the_posterior_is_right():
    rng = np.random.default_rng(0)
    X, y = rng.random((12, 3)), rng.random(12)
    process = GaussianProcess(X, y, noise=1e-4)
    squares = (X[:, None, :] - X[None, :, :]) ** 2
    theta = np.array([-0.5, 0.3, 1.0, -4.0])
    _, gradient = process._negative_log_posterior(theta, squares)
    for k in range(4):
        step = np.zeros(4)
        step[k] = 1e-6
        up = process._negative_log_posterior(theta + step, squares)[0]
        down = process._negative_log_posterior(theta - step, squares)[0]
        assert gradient[k] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("y", [np.zeros(5), np.full(5, 1e30), np.array([0, 0, 0, 0, 1e18])])
def test_scores_of_any_size_are_survived(y):
    mean, deviation = GaussianProcess(np.linspace(0, 1, 5)[:, None], y, noise=0.0).predict(np.array([[0.3]]))
    assert np.isfinite(mean).all()
    assert np.isfinite(deviation).all()


def test_a_cube_puts_categories_at_equal_distances_and_ignores_what_is_fixed():
    hp = HyperParameters()
    hp.Fixed("f", 1)
    hp.Choice("c", ["a", "b", "z"])
    hp.Float("x", 0, 10)
    with hp.conditional_scope("c", ["a"]):
        hp.Int("n", 1, 4)
    cube = Cube(hp)
    points = cube.encode([{"f": 1, "c": c, "x": 5.0, **({"n": 4} if c == "a" else {})} for c in "abz"])
    assert points.shape == (3, cube.dimensions) == (3, 5)
    assert np.linalg.norm(points[1] - points[2]) == pytest.approx(1.0)
    assert points[1, -1] == 0.5  # inactive
    assert points[0, -1] == pytest.approx(0.875)


@pytest.mark.parametrize("arguments", [{"alpha": -1}, {"beta": "2"}, {"num_initial_points": 0}])
def test_arguments_that_can_not_be_are_refused(arguments):
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        BayesianOptimizationOracle("loss", **arguments)


# -- what a study may bring along --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "bayesian", "grid"])
def test_new_entries_that_are_not_tuned_do_not_make_trials_distinct(name):
    hp = HyperParameters()
    hp.Choice("a", [0, 1, 2])
    oracle = ALL[name](seed=1, hyperparameters=hp, tune_new_entries=False)
    values = run(oracle, lambda hp: hp.Int("b", 5, 9), limit=10)
    assert sorted(v["a"] for v in values) == [0, 1, 2]


def declared_by_two_workers(oracle):
    oracle.hyperparameters.Choice("opt", ["adam"])
    oracle.hyperparameters.Float("rate", 1e-4, 1e-1, step=10, sampling="log", default=0.0)
    oracle.hyperparameters.Int("n", 1, 3)


def test_values_from_outside_their_domain_are_survived():
    oracle = BayesianOptimizationOracle("loss", max_trials=12, num_initial_points=3, seed=1)
    declared_by_two_workers(oracle)
    for n, odd in enumerate(({"opt": "sgd"}, {"rate": 0.0}, {"rate": -1.0, "n": 10**9}, {"n": "three"})):
        trial = oracle.create_trial("t")
        trial.hyperparameters.values.update(odd)
        end(oracle, trial, float(n))
    assert len(run(oracle, nothing)) >= 8


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


@pytest.mark.slow
def test_a_corner_where_trials_fail_is_avoided():
    """Out of memory where x is large, which is also where the score is best."""
    for seed in range(3):
        oracle = BayesianOptimizationOracle("loss", max_trials=25, num_initial_points=6, seed=seed)
        oracle.hyperparameters.Float("x", 0, 1)
        oracle.hyperparameters.Float("y", 0, 1)
        while (trial := oracle.create_trial("t")).status == "RUNNING":
            x = trial.hyperparameters.get("x")
            end(oracle, trial, -x, "FAILED" if x > 0.85 else "COMPLETED")  # three in a row would raise
        assert oracle.get_best_trials()[0].hyperparameters.get("x") > 0.7


@pytest.mark.slow
def test_one_diverged_score_does_not_hide_the_others():
    best = []
    for diverged in (False, True):
        oracle = BayesianOptimizationOracle("loss", max_trials=30, num_initial_points=8, seed=1)
        declare_branin(oracle.hyperparameters)
        run(oracle, nothing, score=lambda hp, n, d=diverged: 1e200 if d and n == 2 else branin(hp, n))
        best.append(oracle.get_best_trials()[0].score)
    assert max(best) < 1.5


@pytest.mark.slow
def test_booleans_are_searched_around_the_best():
    oracle = BayesianOptimizationOracle("loss", max_trials=60, num_initial_points=20, seed=1)
    for i in range(16):
        oracle.hyperparameters.Boolean(f"b{i}")
    run(oracle, nothing, score=lambda hp, n: -float(sum(hp.values.values())))
    assert oracle.get_best_trials()[0].score <= -15


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
