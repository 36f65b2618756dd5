"""Asynchronous successive halving, and proposals from a model over epochs."""

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktcomponent.errors import ConfigurationError
from ktcomponent.oracles import AshaOracle, HyperbandOracle
from ktcomponent.oracles.registry import class_name, create_oracle
from tests.oracles.searching import end, nothing, run


def asha(**arguments):
    oracle = AshaOracle(
        "loss", **{"max_epochs": 9, "seed": 1, "sampler": "random", "max_configurations": 9, **arguments}
    )
    oracle.hyperparameters.Float("x", 0, 1)
    return oracle


def rung(trial):
    return trial.hyperparameters.values["tuner/round"]


def test_the_best_of_three_goes_on_at_once_from_the_highest_rung_down():
    oracle = asha()
    seen = []
    while (trial := oracle.create_trial("t")).status == "RUNNING":
        values = trial.hyperparameters.values
        seen.append((rung(trial), values["tuner/initial_epoch"], values["tuner/epochs"]))
        begun = sum(each == (0, 0, 1) for each in seen)
        end(oracle, trial, 10.0 * begun - values["tuner/epochs"])
    assert trial.status == "STOPPED"
    short, middle, full = (0, 0, 1), (1, 1, 3), (2, 3, 9)
    three = [short, short, short, middle]
    assert seen == three * 3 + [full]
    # The one that was trained to the end is the best of all.
    last = list(oracle.trials.values())[-1].hyperparameters
    assert last.get("x") == oracle.trials["0000"].hyperparameters.get("x")


@pytest.mark.parametrize(
    ("fifth", "after"),
    [(0.5, "0006"), (2.5, None)],  # the best of all takes a place too many; the second best of six does not
)
def test_one_that_is_better_than_all_before_need_not_wait(fifth, after):
    oracle = asha(max_configurations=None)
    for value in (3.0, 4.0, 5.0):
        end(oracle, oracle.create_trial("t"), value)
    going_on = []
    for value in (2.0, 2.0, 1.0, fifth, 9.0, 1.0):
        trial = oracle.create_trial("t")
        going_on.append(trial.hyperparameters.values.get("tuner/trial_id"))
        end(oracle, trial, value)
    # The best of three; the fourth, which came when that place was taken; the fifth has to wait for a sixth one.
    assert going_on == ["0000", None, "0004", None, None, after]


@pytest.mark.parametrize(("above", "one_in"), [(1, 3), (2, 3), (3, 2), (4, 2)])
def test_the_lowest_of_many_rungs_lets_one_in_two_go_on(above, one_in):
    oracle = asha(max_configurations=18, max_epochs=3**above)
    while (trial := oracle.create_trial("t")).status == "RUNNING":
        # What comes later is worse, so nothing takes a place beyond those of its rung.
        end(oracle, trial, float(oracle.trials[trial.trial_id].number or 0) - 1000.0 * rung(trial))
    on = [sum(rung(t) == number for t in oracle.trials.values()) for number in range(above + 1)]
    assert on[:3] == [18, 18 // one_in, 18 // one_in // 3][: above + 1]
    assert on[-1] >= 1


def test_nobody_waits_while_there_are_configurations():
    oracle = asha(max_configurations=20)
    trials = [oracle.create_trial(f"t{i}") for i in range(20)]
    assert {t.status for t in trials} == {"RUNNING"}
    assert oracle.create_trial("more").status == "IDLE"
    for n, trial in enumerate(trials[:2]):
        end(oracle, trial, float(n))
    assert oracle.create_trial("more").status == "IDLE"  # one of two isn't a third
    end(oracle, trials[2], 5.0)
    assert oracle.create_trial("more").hyperparameters.get("tuner/trial_id") == trials[0].trial_id


def test_the_best_one_is_trained_to_the_end_however_late_it_comes_and_however_few_there_are():
    oracle = asha(max_configurations=2)
    end(oracle, oracle.create_trial("t"), 2.0)
    end(oracle, oracle.create_trial("t"), 1.0)
    for n in (1, 2):
        trial = oracle.create_trial("t")
        assert (rung(trial), trial.hyperparameters.get("tuner/trial_id")) == (n, f"{n:04d}")
        end(oracle, trial, 1.0)
    assert oracle.create_trial("t").status == "STOPPED"

    late = asha(max_configurations=4)
    for value in (3.0, 4.0, 5.0):
        end(late, late.create_trial("t"), value)
    end(late, late.create_trial("t"), 3.0)  # 0000 goes on, and takes the only place
    best = late.create_trial("t")
    end(late, best, 1.0)
    assert late.create_trial("t").hyperparameters.get("tuner/trial_id") == best.trial_id


def test_trials_that_failed_or_were_ended_do_not_go_on():
    oracle = asha(max_configurations=3, max_consecutive_failed_trials=9)
    for _ in range(3):
        end(oracle, oracle.create_trial("t"), 0.0, "FAILED")
    assert oracle.create_trial("t").status == "STOPPED"
    assert oracle.needed_trials() == set()


def test_the_next_best_takes_the_place_of_those_that_failed():
    oracle = asha(max_configurations=3)
    for value in (1.0, 2.0, 3.0):
        end(oracle, oracle.create_trial("t"), value)
    end(oracle, oracle.create_trial("t"), 0.0, "FAILED")
    earlier = []
    while (trial := oracle.create_trial("t")).status == "RUNNING":
        earlier.append(trial.hyperparameters.get("tuner/trial_id"))
        end(oracle, trial, 1.0)
    assert earlier == ["0001", "0004"]
    assert rung(oracle.trials["0005"]) == 2


def test_trainings_longer_than_planned_count_as_full_ones():
    oracle = asha(sampler="bayesian", max_configurations=None, max_consecutive_failed_trials=9)
    oracle.trial_of_values("t", {"x": 0.5, "tuner/epochs": 50})
    end(oracle, oracle.ongoing_trials["t"], 1.0)
    for n in range(8):
        end(oracle, oracle.create_trial("t"), float(n))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    lanes=st.integers(1, 6),
    configurations=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.2]),
    factor=st.sampled_from([2, 3]),
)
def test_however_trials_end_models_are_kept_and_the_plan_holds(seed, lanes, configurations, share, factor):
    rng = random.Random(seed)
    top = 3
    oracle = asha(
        max_configurations=configurations,
        max_consecutive_failed_trials=1000,
        factor=factor,
        max_epochs=factor**top,
    )
    running, needed_since, failed = {}, [], False
    while True:
        for lane in range(lanes):
            if lane not in running:
                trial = oracle.create_trial(f"t{lane}")
                if trial.status == "RUNNING":
                    running[lane] = trial
                    earlier = trial.hyperparameters.values.get("tuner/trial_id")
                    if earlier is not None and not failed:
                        # In all that time nobody was allowed to delete the model that it goes on with.
                        assert all(earlier in needed for ended, needed in needed_since if earlier in ended)
        if not running:
            break
        lane = rng.choice(sorted(running))
        # Where others fail, one may go on whose model is gone: it is trained anew.
        failed |= (fails := rng.random() < share)
        end(oracle, running.pop(lane), rng.random(), "FAILED" if fails else "COMPLETED")
        needed_since.append((set(oracle.end_order), oracle.needed_trials()))
    assert oracle.create_trial("t").status == "STOPPED"
    assert failed or len(oracle.trials) <= oracle.planned_trials()
    assert oracle.needed_trials() == set()
    tops = [t for t in oracle.trials.values() if rung(t) == top]
    bottom = [t for t in oracle.trials.values() if rung(t) == 0]
    assert len(bottom) == configurations
    assert any(t.status == "COMPLETED" for t in tops) or failed


def test_a_raised_limit_goes_on():
    oracle = asha()
    run(oracle, nothing)
    oracle.max_configurations = 12
    assert len(run(oracle, nothing)) >= 3


def test_the_stopping_variant_ends_trainings_and_continues_none():
    oracle = asha(variant="stopping", max_configurations=9)
    epochs = []
    while (trial := oracle.create_trial("t")).status == "RUNNING":
        values = trial.hyperparameters.values
        assert (values["tuner/initial_epoch"], values["tuner/epochs"]) == (0, 9)
        for epoch in range(9):
            told = oracle.update_trial(trial.trial_id, {"loss": values["x"] - epoch}, step=epoch)
            if told.status == "STOPPED":
                break
        epochs.append(epoch + 1)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    assert len(epochs) == oracle.planned_trials() == 9
    assert epochs[:2] == [9, 9]
    assert 1 in epochs
    assert oracle.needed_trials() == set()
    with pytest.raises(ConfigurationError, match="leave `stopping` out"):
        asha(variant="stopping", stopping="median")


def test_both_variants_have_the_same_rungs():
    for max_epochs, factor in ((20, 2), (9, 3), (10, math.sqrt(10)), (50, 2.5)):
        arguments = {"max_epochs": max_epochs, "factor": factor, "max_configurations": 200}
        promoting, stopping = asha(**arguments), asha(variant="stopping", **arguments)
        epochs = [promoting._epochs(number) for number in range(promoting._top + 1)]
        assert [stopping.stopping.rung(n) for n in epochs] == epochs
        assert [stopping.stopping.following(n) for n in epochs[:-1]] == epochs[1:]


@pytest.mark.parametrize("variant", ["promotion", "stopping"])
def test_a_configuration_makes_the_same_oracle(variant):
    oracle = asha(variant=variant, min_epochs=2)
    again = create_oracle({"class": class_name(oracle), **oracle.settings()})
    assert class_name(oracle) == "Asha"
    assert again.settings() == oracle.settings()
    assert (again.stopping is None) == (variant == "promotion")


@pytest.mark.parametrize(
    "arguments",
    [
        {"factor": 1.5},
        {"min_epochs": 10},
        {"min_epochs": 0},
        {"max_configurations": 0},
        {"variant": "none"},
        {"sampler": "grid"},
    ],
)
def test_arguments_that_can_not_be_are_refused(arguments):
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        asha(**arguments)


# -- proposals from a model ----------------------------------------------------------------------------------


def declare(hp):
    hp.Float("lr", 1e-4, 1, sampling="log")
    hp.Choice("kind", ["a", "b", "c"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Float("depth", 0, 1)


def loss(values, epochs):
    off = abs(math.log10(values["lr"]) + 2.5)
    floor = 0.3 * off + {"a": 0.3, "b": 0.1 + abs(values.get("depth", 0) - 0.8), "c": 0.5}[values["kind"]]
    return floor + 2.0 * epochs**-0.5


MODELLED = {
    "asha": lambda sampler, seed: AshaOracle(
        "loss", max_epochs=27, max_configurations=30, sampler=sampler, seed=seed
    ),
    "hyperband": lambda sampler, seed: HyperbandOracle("loss", max_epochs=27, sampler=sampler, seed=seed),
}


def full(trial):
    return trial.hyperparameters.get("tuner/epochs") == 27


def search(oracle, limit=1000):
    declare(oracle.hyperparameters)
    trials = []
    while len(trials) < limit and (trial := oracle.create_trial("t")).status == "RUNNING":
        values = trial.hyperparameters.values
        end(oracle, trial, loss(values, values["tuner/epochs"]))
        trials.append(trial)
    return trials


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELLED)
def test_a_model_over_epochs_finds_better_configurations_than_chance(name):
    found = {}
    for sampler in ("random", "bayesian"):
        trials = [search(MODELLED[name](sampler, seed)) for seed in range(11)]
        found[sampler] = statistics.median(min(t.score for t in each if full(t)) for each in trials)
    least = 0.1 + 2.0 * 27**-0.5
    assert found["bayesian"] - least < 0.3 * (found["random"] - least)


@pytest.mark.parametrize("name", MODELLED)
def test_proposals_follow_from_the_trials_alone_and_say_why(name):
    oracle = MODELLED[name]("bayesian", 3)
    trials = search(oracle, limit=40)
    assert {t.why["how"] for t in trials} >= {"initial", "promoted"}
    assert {"exploit", "explore"} & {t.why["how"] for t in trials}
    again = MODELLED[name]("bayesian", 4)
    again.set_state(oracle.get_state())
    for _ in range(3):
        one, other = oracle.create_trial("t"), again.create_trial("t")
        assert one.hyperparameters.values == other.hyperparameters.values
        assert "tuner/fidelity" not in one.hyperparameters.values
        for each, trial in ((oracle, one), (again, other)):
            end(each, trial, 0.5)


@pytest.mark.parametrize("name", MODELLED)
def test_every_other_configuration_is_random_whatever_the_model_says(name):
    begun = [t.why["how"] for t in search(MODELLED[name]("bayesian", 3), limit=40)]
    begun = [how for how in begun if how != "promoted"]
    assert "random" not in begun[:11]
    assert set(begun[11::2]) == {"random"}
    assert set(begun[10::2]) <= {"exploit", "explore"}


@pytest.mark.parametrize("name", MODELLED)
def test_a_model_over_epochs_does_not_propose_the_same_all_but(name):
    """Short trainings don't tell close configurations apart: many of them are a waste."""
    trials = search(MODELLED[name]("bayesian", 0), limit=90)
    modelled = [t.hyperparameters.values for t in trials if t.why["how"] in ("explore", "exploit")]
    at = sorted((math.log10(values["lr"]), values["depth"]) for values in modelled if values["kind"] == "b")
    assert len(at) > 10
    nearest = [min(math.dist(one, other) for other in at if other is not one) for one in at]
    assert statistics.median(nearest) > 0.1
