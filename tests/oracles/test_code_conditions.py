"""Conditions in a program's code: a model that knows them proposes nothing twice, and learns from what counts."""

import pytest
from searching import end

from ktcomponent.hyperparameters import HyperParameters, Parent
from ktcomponent.oracles import BayesianOptimizationOracle
from ktcomponent.oracles.bayesian.code_conditions import with_code_conditions
from ktcomponent.trial import Trial, TrialStatus


def layers(hp):
    return [hp.Int(f"units_{i}", 16, 128, step=16) for i in range(hp.Int("layers", 1, 4))]


def loss(units):
    return abs(len(units) - 2) * 0.5 + sum((x - 48 - 24 * i) ** 2 for i, x in enumerate(units)) / 4000


def completed(program, *given):
    """Completed trials of a program with these values, each with all values of the space that they found."""
    space = HyperParameters()
    trials = []
    for values in given:
        hp = space.copy()
        hp.values = dict(values)
        program(hp)
        space.merge(hp, overwrite=False)
        trials.append((hp, values))
    found = []
    for used, values in trials:
        hp = space.copy()
        hp.values = dict(values)
        hp.ensure_active_values()
        hp.asked = used.asked
        trial = Trial(hp, status=TrialStatus.COMPLETED)
        trial.unused = hp.unused()
        found.append(trial)
    return space, found


def conditions(space, trials):
    return {hp.name: hp.conditions for hp in with_code_conditions(space, trials).space}


def test_a_loop_over_a_number_is_found_out():
    given = [{"layers": n} for n in (1, 4, 2, 3, 1, 4)]
    found = conditions(*completed(layers, *given))
    assert found["units_0"] == []
    assert found["units_2"] == [Parent("layers", [3, 4])]
    assert found["units_3"] == [Parent("layers", [4])]
    # Of three layers no trial has told.
    given = [{"layers": n} for n in (1, 4, 2, 2, 1, 4)]
    assert conditions(*completed(layers, *given))["units_3"] == [Parent("layers", [3, 4])]


def test_a_category_and_what_depends_on_its_child_are_found_out():
    def program(hp):
        if hp.Choice("optimizer", ["adam", "sgd", "rmsprop"]) == "sgd" and hp.Boolean("nesterov"):
            hp.Float("momentum", 0.1, 0.9)

    given = [
        {"optimizer": optimizer, "nesterov": nesterov}
        for optimizer in ("sgd", "adam", "rmsprop") * 2
        for nesterov in (True, False)
    ]
    found = conditions(*completed(program, *given))
    assert found["nesterov"] == [Parent("optimizer", ["sgd"])]
    assert found["momentum"] == [Parent("nesterov", [True])]


def test_what_trials_contradict_or_hardly_show_is_not_taken_for_a_condition():
    calls = iter(range(100))

    def by_chance(hp):
        hp.Choice("kind", ["a", "b"])
        if next(calls) % 3 == 0:
            hp.Float("x", 0, 1)

    given = [{"kind": kind} for kind in "aabbaabb"]
    assert conditions(*completed(by_chance, *given))["x"] == []
    assert conditions(*completed(layers, {"layers": 1}, {"layers": 4}))["units_3"] == []


def test_a_parent_whose_domain_has_changed_explains_nothing():
    _, trials = completed(layers, *[{"layers": n} for n in (1, 4, 2, 3, 1, 4)])
    narrower = HyperParameters()
    narrower.Int("layers", 1, 3)
    narrower.Int("units_3", 16, 128)
    assert conditions(narrower, trials)["units_3"] == []


def test_what_is_read_without_being_declared_is_used():
    hp = HyperParameters()
    hp.Int("layers", 1, 4)
    hp.Float("rate", 0, 1)
    hp.Float("decay", 0, 1)
    trial = hp.copy()
    assert trial.unused() == []  # nothing was asked for, as by a program that reads `values`
    trial.Int("layers", 1, 4)
    assert trial["rate"] == trial.get("rate")
    assert trial.unused() == ["decay"]


@pytest.mark.parametrize("seed", range(3))
def test_a_search_repeats_nothing_that_is_the_same_to_its_program(seed):
    oracle = BayesianOptimizationOracle("loss", max_trials=40, seed=seed)
    tried, best = [], []
    while (trial := oracle.create_trial("t")).status == TrialStatus.RUNNING:
        units = layers(trial.hyperparameters)
        tried.append(tuple(units))
        best.append(loss(units))
        end(oracle, trial, loss(units))
    assert len(tried) == 40
    # The first trials come before anything is known.
    assert len(set(tried)) >= 38
    assert min(best) < 0.1
    assert "units_3" in oracle.get_best_trials()[0].hyperparameters.values
    # It is kept with the trials, so another process proposes the same.
    again = BayesianOptimizationOracle("loss", max_trials=41, seed=seed)
    again.set_state(oracle.get_state())
    oracle.max_trials = 41
    assert again.create_trial("t").hyperparameters.values == oracle.create_trial("t").hyperparameters.values
