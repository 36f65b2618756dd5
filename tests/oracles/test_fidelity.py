"""Trainings of different length in one model: how their scores compare, and what that does for a search with a stopping rule."""

import json

import pytest

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import AshaOracle, BayesianOptimizationOracle
from ktcomponent.oracles.bayesian.fidelity import InRounds, UntilStopped
from ktcomponent.trial import Trial
from tests.oracles.searching import end


def test_scores_are_lifted_by_what_the_same_configurations_gained():
    oracle = AshaOracle("loss", max_epochs=9, max_configurations=None, sampler="random", seed=1)
    oracle.hyperparameters.Float("x", 0, 1)
    for value in (4.0, 5.0, 6.0, 1.0, 7.0, 8.0, 9.0, 3.0):  # the fourth and eighth go on from 4.0 and 5.0
        end(oracle, oracle.create_trial("t"), value)
    fidelity = InRounds(9, oracle._configuration)
    # Nothing is known of what the last rung gains; from the first to the second it was 3 and 2.
    assert fidelity.lifted(list(oracle.trials.values())) == [1.5, 2.5, 3.5, 1.0, 4.5, 5.5, 6.5, 3.0]
    assert [fidelity.position(n) for n in (0, 1, 3, 9, 20)] == pytest.approx([0, 0, 0.5, 1, 1])


def trained(first, last=None):
    """A trial that had reached this after one step, and this in the end; without it, it was ended after the first."""
    trial = Trial(HyperParameters())
    trial.rungs = {1: first}
    trial.stopped, trial.score = (1, first) if last is None else (None, last)
    return trial


@pytest.mark.parametrize(("known", "slope"), [(1, 1.0), (10, 0.55), (90, 0.19)])
def test_trainings_that_come_closer_to_each_other_are_lifted_by_a_line(known, slope):
    lifted = UntilStopped(9).lifted(
        [trained(10.0 * n, n - 3.0) for n in range(known)] + [trained(10.0 * n) for n in range(10)]
    )
    assert lifted[:known] == [n - 3.0 for n in range(known)]
    # Beside a common gain that weighs as much as ten, so many say that a tenth of what they are apart is left.
    ended = lifted[known:]
    assert ended[-1] - ended[0] == pytest.approx(slope * 90.0)
    middle = (known - 1) / 2.0
    assert ended[0] == pytest.approx(middle - 3.0 - slope * 10.0 * middle)


def test_trainings_that_drift_apart_are_lifted_by_a_common_gain():
    lifted = UntilStopped(9).lifted([*(trained(n / 10.0, float(n)) for n in range(5)), trained(0.5)])
    assert lifted[5] == pytest.approx(1.8 + 0.5)


STEPS = 16


def searched(seed, rule, trials=30):
    """An oracle after trainings that lose 15/16 of what they begin with, and end near a narrow valley's depth."""
    oracle = BayesianOptimizationOracle("loss", max_trials=None, seed=seed, stopping=rule)
    for name in "xy":
        oracle.hyperparameters.Float(name, 0, 1)
    for _ in range(trials):
        trial = oracle.create_trial("t")
        x, y = (trial.hyperparameters.values[name] for name in "xy")
        for step in range(STEPS):
            loss = (x - 0.7) ** 2 + (y - 0.3) ** 2 + 1.0 / (step + 1) - 1.0 / STEPS
            if oracle.update_trial(trial.trial_id, {"loss": loss}, step=step).status == "STOPPED":
                break
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return oracle


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["median", "asha", "curve"])
def test_trainings_that_were_ended_do_not_mislead_the_model(rule):
    for seed in range(4):
        ended = searched(seed, rule).trials.values()
        assert sum(t.stopped is not None for t in ended) >= 3
        # The model that takes a short training's score for a full one's leaves 1e-4 and more here with "asha".
        assert min(t.score for t in ended if t.stopped is None) < 1e-5


def test_a_search_with_ended_trainings_goes_on_in_another_process_as_it_would_have():
    oracle = searched(0, "asha", 12)
    again = BayesianOptimizationOracle("loss", max_trials=None, stopping="asha")
    again.set_state(json.loads(json.dumps(oracle.get_state())))
    ours, theirs = (o.create_trial("t").hyperparameters.values for o in (oracle, again))
    assert ours == theirs
