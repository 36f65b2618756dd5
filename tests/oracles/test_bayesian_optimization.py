"""Bayesian optimization as a search: what it proposes, from what, and in time."""

import itertools
import json
import math
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import threadpoolctl

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import BayesianOptimizationOracle, GridSearchOracle, RandomSearchOracle
from ktcomponent.oracles.bayesian.threads import one_thread
from tests.oracles.searching import end, nothing, run


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


def declare_everything(hp):
    hp.Fixed("seed", 3)
    hp.Float("rate", 1e-5, 1.0, sampling="log")
    hp.Int("units", 8, 512, sampling="log")
    hp.Int("layers", 1, 4)
    hp.Float("drop", 0, 0.8, step=0.2)
    hp.Boolean("norm")
    hp.Choice("size", [1, 2, 8])
    if hp.Choice("kind", ["a", "b", "c"]) == "b":
        with hp.conditional_scope("kind", ["b"]):
            hp.Float("momentum", 0, 1)
            if hp.Boolean("deep"):
                with hp.conditional_scope("deep", [True]):
                    hp.Choice("what", ["x", "y", "z"])


def score_of_everything(hp, _):
    values = hp.values
    score = (math.log10(values["rate"]) + 3) ** 2 + abs(math.log(values["units"] / 100)) + values["drop"]
    return score + (values.get("momentum", 0.5) - 0.9) ** 2 - values["norm"]


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["min", "max"])
def test_it_finds_a_minimum_that_random_search_does_not(direction):
    sign = 1 if direction == "min" else -1
    objective = {"name": "loss", "direction": direction}
    best = {}
    for cls in (BayesianOptimizationOracle, RandomSearchOracle):
        found = []
        for seed in range(3):
            oracle = cls(objective, max_trials=25, seed=seed)
            run(oracle, declare_branin, score=lambda hp, n: sign * branin(hp, n))
            found.append(sign * oracle.get_best_trials()[0].score)
        best[cls] = float(np.median(found))
    assert best[BayesianOptimizationOracle] < 0.5
    assert best[BayesianOptimizationOracle] < best[RandomSearchOracle]


def test_a_search_without_noise_is_modelled_with_less_than_alpha():
    def declare(hp):
        hp.Float("x", 0, 1)
        hp.Float("y", 0, 1)

    oracle = BayesianOptimizationOracle({"name": "loss", "direction": "min"}, max_trials=30, seed=1)
    run(oracle, declare, score=lambda hp, _: (hp.get("x") - 0.31) ** 2 + (hp.get("y") - 0.62) ** 2)
    models = oracle._sampler._kept[0].surrogate._built.values()
    assert oracle.alpha / 100 <= min(built.process.scales.n2 for built in models) < oracle.alpha


def test_the_first_trial_has_the_defaults_that_the_user_chose():
    oracle = BayesianOptimizationOracle("loss", seed=1)
    oracle.hyperparameters.Float("rate", 1e-4, 1e-1, sampling="log", default=0.05)
    oracle.hyperparameters.Int("units", 0, 100)
    oracle.hyperparameters.Float("drop", 0, 1)
    oracle.hyperparameters.Choice("batch", [16, 32, 64])
    oracle.hyperparameters.Choice("kind", ["a", "b", "c"], default="c")
    oracle.hyperparameters.Choice("norm", ["x", "y", "z"])
    first = oracle.create_trial("t")
    chosen = {"rate": pytest.approx(0.05), "kind": "c"}
    assert first.hyperparameters.values == {**chosen, "units": 50, "drop": 0.5, "batch": 32, "norm": "x"}
    assert first.why == {"how": "initial"}


def first_trials(oracle, declare, lanes=1):
    """How many trials were tried before the model was asked."""
    declare(oracle.hyperparameters)
    running = []
    while (trial := oracle.create_trial(f"t{len(oracle.trials)}")).why == {"how": "initial"}:
        running.append(trial)
        if len(running) == lanes:
            end(oracle, running.pop(0), float(len(oracle.trials)))
    return len(oracle.trials) - 1


def test_the_model_is_asked_once_five_trials_have_ended():
    def declare(hp):
        for name in "abcdefgh":
            hp.Float(name, 0, 1)

    made = partial(BayesianOptimizationOracle, "loss", max_trials=30, seed=1)
    assert first_trials(made(), declare) == 5
    assert first_trials(made(), declare, lanes=3) == 7
    assert first_trials(made(), declare, lanes=8) == 10
    assert first_trials(made(num_initial_points=7), declare) == 7


def test_the_model_is_asked_later_where_a_category_was_not_tried():
    def declare(hp):
        for name in "abc":
            hp.Float(name, 0, 1)
        with hp.conditional_scope("kind", ["v"]):
            hp.Choice("inner", list("lmnopqrs"))

    def with_kinds(hp, kinds):
        hp.Choice("kind", kinds)
        declare(hp)

    counts = []
    for seed in range(5):
        oracle = BayesianOptimizationOracle("loss", max_trials=30, seed=seed)
        tried = first_trials(oracle, lambda hp: with_kinds(hp, list("vwxyz")))
        kinds = [t.hyperparameters.get("kind") for t in oracle.trials.values()][:tried]
        assert 5 <= tried <= 8
        assert tried == 8 or len(set(kinds)) == 5
        assert tried == 5 or len(set(kinds[:-1])) < 5
        counts.append(tried)
    assert min(counts) < 8  # so it does not wait for all of "inner", which few have
    oracle = BayesianOptimizationOracle("loss", max_trials=30, seed=1)
    assert first_trials(oracle, lambda hp: with_kinds(hp, [f"v{i}" for i in range(40)] + ["v"])) == 8


@pytest.mark.slow
def test_the_first_trials_are_spread_better_than_at_random():
    oracle = BayesianOptimizationOracle("loss", max_trials=16, num_initial_points=16, seed=2)
    values = run(oracle, declare_branin)
    cells = {(int((v["x"] + 5) / 15 * 4), int(v["y"] / 15 * 4)) for v in values}
    assert len(cells) >= 13  # of 16; at random 10.3 on average


def test_a_corner_is_found_though_all_else_fails():
    found = 0
    for seed in range(8):
        oracle = BayesianOptimizationOracle(
            "loss", max_trials=60, seed=seed, max_consecutive_failed_trials=100
        )
        oracle.hyperparameters.Float("x", 0, 1)
        oracle.hyperparameters.Float("y", 0, 1)
        while (trial := oracle.create_trial("t")).status == "RUNNING":
            if min(trial.hyperparameters.values.values()) > 0.8:
                found += 1
                break
            end(oracle, trial, None, "INVALID")
    assert found >= 6  # at random 0.91 of them


def test_many_booleans_are_searched_a_few_at_a_time():
    weights = np.random.default_rng(5).standard_normal(60)

    def score(hp, _):
        return float(sum(w * hp.values[f"b{i}"] for i, w in enumerate(weights)))

    best = []
    for seed in range(3):
        oracle = BayesianOptimizationOracle("loss", max_trials=60, seed=seed)
        for i in range(60):
            oracle.hyperparameters.Boolean(f"b{i}")
        run(oracle, nothing, score=score)
        best.append(oracle.get_best_trials()[0].score)
    assert np.mean(best) < weights[weights < 0].sum() + 3.5


def test_what_another_worker_began_meanwhile_counts_in_the_next_proposal():
    oracle = BayesianOptimizationOracle("loss", max_trials=50, seed=3)
    run(oracle, declare_branin, limit=10, score=branin)
    oracle.forget_proposal()
    proposed = []
    for lane in range(5):
        kept = oracle._kept_proposal()
        proposed.append((kept or oracle._propose("next"))["values"])
        assert (kept is None) == (lane < 3)
        # Another worker begins a trial very near it.
        near = {"x": proposed[-1]["x"], "y": min(proposed[-1]["y"] + 1e-3, 15.0)}
        oracle.trial_of_values(f"other {lane}", near)
    apart = [abs(a["x"] - b["x"]) + abs(a["y"] - b["y"]) for a, b in itertools.pairwise(proposed)]
    assert min(apart[:2]) > 0.1
    assert apart[2:] == [0.0, 0.0]


def test_a_proposal_computes_on_one_thread():
    def threads():
        return {lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"}

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with one_thread():
            assert threads() == {1}
        assert threads() == {2}


def test_trials_that_run_side_by_side_are_spread():
    closest = []
    for seed in range(5):
        oracle = BayesianOptimizationOracle("loss", max_trials=50, num_initial_points=10, seed=seed)
        run(oracle, declare_branin, limit=12, score=branin)
        batch = [oracle.create_trial(f"t{i}").hyperparameters for i in range(8)]
        points = np.array([[hp.get("x") / 15, hp.get("y") / 15] for hp in batch])
        distances = np.linalg.norm(points[:, None] - points[None], axis=-1)[np.triu_indices(8, 1)]
        closest.append(distances.min())
    assert np.median(closest) > 0.005


@pytest.mark.slow
def test_beta_governs_how_much_it_explores():
    def spread(beta):
        oracle = BayesianOptimizationOracle(
            "loss", max_trials=30, num_initial_points=8, beta=beta, seed=4, acquisition="ucb"
        )
        values = run(oracle, declare_branin, score=branin)[8:]
        return float(np.std([v["x"] for v in values]))

    assert spread(0.01) < spread(20.0)


@pytest.mark.parametrize(("oracle", "how"), [(RandomSearchOracle, "random"), (GridSearchOracle, "grid")])
def test_oracles_without_a_model_say_why_too(oracle, how):
    made = oracle("loss", max_trials=5, seed=1)
    run(made, declare_branin)
    assert [t.why for t in made.trials.values()] == [{"how": how}] * 5


def test_every_proposal_says_why():
    oracle = BayesianOptimizationOracle({"name": "loss", "direction": "max"}, max_trials=20, seed=3)
    declare_branin(oracle.hyperparameters)
    run(oracle, declare_branin, score=lambda hp, n: -branin(hp, n))
    reasons = [t.why for t in oracle.trials.values()]
    assert [why["how"] for why in reasons[:5]] == ["initial"] * 5
    later = reasons[5:]
    assert {why["how"] for why in later} <= {"exploit", "explore"}
    best = -0.398
    for why in later:
        assert set(why) == {"how", "mean", "deviation", "expected_improvement"}
        assert why["deviation"] >= 0
        assert why["expected_improvement"] >= 0
    assert max(why["mean"] for why in later[-5:]) == pytest.approx(best, abs=5.0)
    state = json.loads(json.dumps(oracle.get_state()))
    again = BayesianOptimizationOracle({"name": "loss", "direction": "max"})
    again.set_state(state)
    assert [t.why for t in again.trials.values()] == reasons


REPLAY = """
import json, sys
from ktcomponent.oracles import BayesianOptimizationOracle
oracle = BayesianOptimizationOracle("loss", max_trials=None)
oracle.set_state(json.load(sys.stdin))
print(json.dumps([oracle.create_trial(f"p{i}").hyperparameters.values for i in range(3)]))
"""


def test_a_proposal_follows_from_seed_and_trials_in_any_process():
    oracle = BayesianOptimizationOracle("loss", max_trials=None, seed=5)
    declare_everything(oracle.hyperparameters)
    for limit in (12, 17, 23):  # the same object has proposed before
        run(oracle, declare_everything, limit=limit - len(oracle.trials), score=score_of_everything)
    state = json.dumps(oracle.get_state())
    here = [oracle.create_trial(f"p{i}").hyperparameters.values for i in range(3)]
    there = subprocess.run(
        [sys.executable, "-c", REPLAY], input=state, capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(there) == json.loads(json.dumps(here))


@pytest.mark.slow
def test_proposals_are_legal_and_never_twice():
    oracle = BayesianOptimizationOracle("loss", max_trials=40, seed=7)
    declare_everything(oracle.hyperparameters)
    values = run(oracle, declare_everything, score=score_of_everything)
    assert len({json.dumps(v, sort_keys=True) for v in values}) == 40
    domains = {hp.name: hp for hp in oracle.hyperparameters.space}
    for v in values:
        space = oracle.hyperparameters.copy()
        space.values = dict(v)
        active = {hp.name for hp in space.space if space.is_active(hp)}
        assert set(v) == active
        for name, value in v.items():
            hp = domains[name]
            legal = hp.legal_values if name != "seed" else [3]
            assert value in legal if legal is not None else hp.min_value <= value <= hp.max_value


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
        assert oracle.get_best_trials()[0].hyperparameters.get("x") > 0.8
        failed = [t for t in oracle.trials.values() if t.status == "FAILED"]
        assert len(failed) <= 13


def test_failures_that_were_mended_make_a_search_no_more_cautious():
    promised = []
    for mended in (False, True):
        oracle = BayesianOptimizationOracle(
            "loss", max_trials=30, num_initial_points=6, seed=1, max_consecutive_failed_trials=5
        )
        declare_branin(oracle.hyperparameters)
        run(oracle, nothing, limit=9, score=branin)
        for _ in range(3):
            end(oracle, oracle.create_trial("t"), 0.0, "FAILED")
        if mended:
            oracle.forgive_failures()
        promised.append(oracle.create_trial("t").why["expected_improvement"])
    assert promised[1] > promised[0]


@pytest.mark.slow
def test_one_diverged_score_does_not_hide_the_others():
    best = []
    for diverged in (False, True):
        oracle = BayesianOptimizationOracle("loss", max_trials=30, num_initial_points=8, seed=1)
        declare_branin(oracle.hyperparameters)
        run(oracle, nothing, score=lambda hp, n, d=diverged: 1e200 if d and n == 2 else branin(hp, n))
        best.append(oracle.get_best_trials()[0].score)
    assert max(best) < 0.6


@pytest.mark.slow
def test_booleans_are_searched_around_the_best():
    oracle = BayesianOptimizationOracle("loss", max_trials=60, num_initial_points=20, seed=1)
    for i in range(16):
        oracle.hyperparameters.Boolean(f"b{i}")
    run(oracle, nothing, score=lambda hp, n: -float(sum(hp.values.values())))
    assert oracle.get_best_trials()[0].score <= -15


def test_values_from_outside_their_domain_are_survived():
    oracle = BayesianOptimizationOracle("loss", max_trials=12, num_initial_points=3, seed=1)
    oracle.hyperparameters.Choice("opt", ["adam"])
    oracle.hyperparameters.Float("rate", 1e-4, 1e-1, step=10, sampling="log", default=0.0)
    oracle.hyperparameters.Int("n", 1, 3)
    for n, odd in enumerate(({"opt": "sgd"}, {"rate": 0.0}, {"rate": -1.0, "n": 10**9}, {"n": "three"})):
        trial = oracle.create_trial("t")
        trial.hyperparameters.values.update(odd)
        end(oracle, trial, float(n))
    assert len(run(oracle, nothing)) >= 8


# -- ill input ---------------------------------------------------------------------------------------------


def one_value(hp):
    hp.Int("n", 3, 3)
    hp.Float("x", 0, 1)


def wide(hp):
    for i in range(200):
        hp.Float(f"x{i}", 0, 1)


def many_categories(hp):
    hp.Choice("c", [f"c{i}" for i in range(1000)])
    hp.Float("x", 0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("declare", [declare_branin, one_value, wide, many_categories, declare_everything])
@pytest.mark.parametrize(
    "score",
    [
        lambda n: 1.0,
        lambda n: (-1.0) ** n * 10.0 ** (600 * ((n * 7) % 13) / 13 - 300),
        lambda n: 1e308 * (-1.0) ** n,
        lambda n: 5e-324 * n,
    ],
    ids=["equal", "1e-300 to 1e300", "largest", "denormal"],
)
def test_scores_of_any_size_are_survived(declare, score):
    oracle = BayesianOptimizationOracle("loss", max_trials=None, num_initial_points=4, seed=1)
    declare(oracle.hyperparameters)
    began = time.process_time()
    values = run(oracle, nothing, limit=14, score=lambda hp, n: score(n))
    assert len(values) == 14
    assert (time.process_time() - began) / 10 < 1.0


@pytest.mark.parametrize("ends", [["COMPLETED"], ["FAILED"], ["FAILED"] * 9, ["FAILED", "COMPLETED"] * 4])
def test_few_or_failed_trials_are_enough_for_a_proposal(ends):
    oracle = BayesianOptimizationOracle(
        "loss", max_trials=None, num_initial_points=1, seed=1, max_consecutive_failed_trials=100
    )
    declare_branin(oracle.hyperparameters)
    for n, status in enumerate(ends):
        end(oracle, oracle.create_trial("t"), float(n), status)
    assert oracle.create_trial("t").status == "RUNNING"


@pytest.mark.parametrize(
    "arguments",
    [
        {"alpha": -1},
        {"alpha": math.nan},
        {"beta": "2"},
        {"beta": math.inf},
        {"num_initial_points": 0},
        {"acquisition": "best"},
    ],
)
def test_arguments_that_can_not_be_are_refused(arguments):
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        BayesianOptimizationOracle("loss", **arguments)


def test_a_seed_may_be_negative_and_is_one_of_its_own():
    searches = [
        run(BayesianOptimizationOracle("loss", max_trials=8, seed=seed), declare_branin, score=branin)
        for seed in (-3, 3)
    ]
    assert [len(values) for values in searches] == [8, 8]
    assert searches[0] != searches[1]


def test_hyperparameters_found_later_are_searched_too():
    oracle = BayesianOptimizationOracle("loss", max_trials=20, num_initial_points=3, seed=1)

    def declare(hp):
        hp.Float("x", 0, 1)
        if len(oracle.trials) > 8:
            hp.Float("late", 0, 1)

    values = run(oracle, declare, score=lambda hp, n: hp.get("x"))
    assert len({v["late"] for v in values if "late" in v}) >= 8
    assert HyperParameters.from_config(oracle.get_state()["hyperparameters"]).get("late") is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "declare",
    [
        lambda hp: hp.Int("a", 0, 2**64 - 1),
        lambda hp: hp.Int("a", 1, 10**20, sampling="log"),
        lambda hp: hp.Float("a", 0, 1e300, step=1e-3),
        lambda hp: hp.Float("a", 1e-300, 1e300, sampling="log"),
        lambda hp: hp.Float("a", -1e308, 1e308),
        lambda hp: hp.Int("a", 1, 10**6, sampling="reverse_log"),
    ],
)
def test_domains_without_end_are_searched(declare):
    oracle = BayesianOptimizationOracle("loss", max_trials=12, num_initial_points=4, seed=1)
    assert len(run(oracle, declare, score=lambda hp, n: float(hp.get("a")))) == 12


@pytest.mark.slow
def test_what_is_expected_is_near_what_was_seen():
    rng = np.random.default_rng(2)
    for seed in range(3):
        oracle = BayesianOptimizationOracle("loss", max_trials=40, seed=seed)
        run(oracle, declare_branin, score=lambda hp, n: float(rng.random()))
        for trial in oracle.trials.values():
            assert abs(trial.why.get("mean", 0)) < 3
            assert trial.why.get("deviation", 0) < 3
