"""No configuration is tried twice, and a search ends when its space has no other one, not before."""

import math

import pytest

from ktcomponent.errors import TooManyFailedTrials
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import (
    AshaOracle,
    BayesianOptimizationOracle,
    GridSearchOracle,
    HyperbandOracle,
    RandomSearchOracle,
)
from ktcomponent.trial import Trial
from tests.oracles.searching import end, nothing, run

PLAIN = [BayesianOptimizationOracle, GridSearchOracle, RandomSearchOracle]


def test_trainings_that_were_ended_early_are_not_tried_again():
    rule = {"rule": "asha", "min_trials": 1, "factor": 2}
    oracle = BayesianOptimizationOracle("loss", max_trials=None, seed=1, stopping=rule)
    oracle.hyperparameters.Int("a", 0, 2)
    oracle.hyperparameters.Int("b", 0, 3)
    seen = []
    while len(seen) < 30 and (trial := oracle.create_trial("t")).status == "RUNNING":
        values = trial.hyperparameters.values
        seen.append(tuple(values.items()))
        for step in range(4):
            loss = values["a"] + 4 * values["b"] - step
            if oracle.update_trial(trial.trial_id, {"loss": loss}, step=step).status == "STOPPED":
                break
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert any(trial.stopped for trial in oracle.trials.values())
    assert len(seen) == len(set(seen)) == 12
    assert {name for values in seen for name, _ in values} == {"a", "b"}


@pytest.mark.parametrize("oracle", PLAIN)
@pytest.mark.parametrize(
    ("declare", "size"),
    [
        (lambda hp: hp.Float("d", 0, 0.5, step=0.1, default=0.3), 6),
        (lambda hp: hp.Float("d", 0, 0.5, step=0.1, default=3 * 0.1), 6),
        (lambda hp: hp.Float("d", 0, 1, step=0.5, default=0), 3),
        (lambda hp: hp.Float("d", 1e-4, 1, step=10, sampling="log", default=0.01), 5),
        (lambda hp: hp.Int("d", 16, 48, step=16, default=32.0), 3),
        (lambda hp: hp.Choice("d", [1.0, 2.0], default=1), 2),
        (lambda hp: hp.Boolean("d", default=1), 2),
        (lambda hp: hp.Choice("d", [0.3, 3 * 0.1, 0.5]), 2),
    ],
)
def test_a_default_is_a_value_of_its_domain_however_it_is_written(oracle, declare, size):
    values = [v["d"] for v in run(oracle("loss", max_trials=None, seed=1), declare)]
    assert len(values) == size
    assert len({f"{v:.9g}" for v in values}) == size
    assert len({type(v) for v in values}) == 1


def test_a_number_as_a_person_writes_it_is_in_a_stepped_domain():
    (hp,) = _space(lambda hp: hp.Float("d", 0, 0.5, step=0.1))
    assert hp.allows(0.3)
    assert hp.allows(3 * 0.1)
    assert not hp.allows(0.3001)


def _space(declare):
    space = HyperParameters()
    declare(space)
    return space.space


def test_names_and_values_do_not_run_into_each_other():
    oracle = RandomSearchOracle("loss", max_trials=None, seed=1)
    one = oracle._compute_values_hash({"a": "x", "b": 1})
    assert one == oracle._compute_values_hash({"b": 1, "a": "x"})
    assert one != oracle._compute_values_hash({"a": "xb=1"})


@pytest.mark.parametrize("oracle", [*PLAIN, AshaOracle, HyperbandOracle])
def test_a_first_trial_that_fails_before_it_declares_anything_does_not_end_the_search(oracle):
    oracle = oracle("loss", seed=1)
    for _ in range(2):
        end(oracle, oracle.create_trial("t"), None, "FAILED")
    trial = oracle.create_trial("t")
    assert trial.status == "RUNNING"
    trial.hyperparameters.Int("a", 0, 9)
    end(oracle, trial, 1.0)
    assert "a" in oracle.create_trial("t").hyperparameters.values


@pytest.mark.parametrize("oracle", PLAIN)
def test_a_program_without_hyperparameters_runs_once_or_until_too_many_fail(oracle):
    assert len(run(oracle("loss", max_trials=None, seed=1), nothing)) == 1
    failing = oracle("loss", max_trials=None, seed=1)
    end(failing, failing.create_trial("t"), None, "FAILED")
    end(failing, failing.create_trial("t"), None, "FAILED")
    with pytest.raises(TooManyFailedTrials):
        end(failing, failing.create_trial("t"), None, "FAILED")


@pytest.mark.parametrize("told", [[math.inf, -math.inf], [1e308, 1e308, 1e308]])
def test_executions_whose_mean_is_no_finite_number_make_an_invalid_trial(told):
    oracle = RandomSearchOracle("loss", max_trials=3, seed=1)
    trial = oracle.create_trial("t")
    for value in told:
        oracle.update_trial(trial.trial_id, {"loss": value})
    oracle.end_trial(Trial(trial.hyperparameters, trial.trial_id, "COMPLETED"))
    assert oracle.trials[trial.trial_id].status == "FAILED"
    assert "not a finite number" in oracle.trials[trial.trial_id].message


@pytest.mark.parametrize("default", [0.15, 3 * 0.05])
def test_a_grid_passes_over_a_value_that_is_its_default_written_in_another_way(default):
    def declare(hp):
        hp.Float("rate", 0, 1, default=default)
        hp.Boolean("norm")

    oracle = GridSearchOracle("loss")
    tried = run(oracle, declare)
    assert len(tried) == len({f"{v['rate']:.9g} {v['norm']}" for v in tried}) == oracle.planned_trials() == 20


@pytest.mark.parametrize("oracle", PLAIN)
@pytest.mark.parametrize("seed", range(20))
def test_what_another_trial_has_discovered_counts_for_those_that_run(oracle, seed):
    """Two lanes: a trial that runs with `kind` alone will take the default of `norm`."""

    def finish(trial):
        if trial.hyperparameters.Choice("kind", ["a", "b", "c"]) != "a":
            trial.hyperparameters.Boolean("norm")
        oracle.update_space(trial.hyperparameters)
        end(oracle, trial, 1.0)

    oracle = oracle("loss", max_trials=9, seed=seed)
    finish(oracle.create_trial("0"))
    lanes = [oracle.create_trial(str(lane)) for lane in range(2)]
    while any(trial.status == "RUNNING" for trial in lanes):
        for lane, trial in enumerate(lanes):
            if trial.status == "RUNNING":
                finish(trial)
            lanes[lane] = oracle.create_trial(str(lane))
    tried = [str(sorted(t.hyperparameters.values.items())) for t in oracle.trials.values()]
    assert len(tried) == len(set(tried))
