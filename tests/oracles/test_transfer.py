"""What earlier studies found: used while it is right, dropped where it misleads."""

import json

import numpy as np
import pytest

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import AshaOracle, BayesianOptimizationOracle, HyperbandOracle, RandomSearchOracle
from ktcomponent.oracles.bayesian.gaussian_process import GaussianProcess, Scales
from ktcomponent.oracles.bayesian.model_space import ModelSpace
from ktcomponent.oracles.bayesian.transfer import Ensemble, weights
from ktcomponent.oracles.registry import class_name, create_oracle
from tests.oracles.searching import end, run
from tests.oracles.test_bayesian_parts import dense, slopes


def process(seed, n=12, value=lambda x: np.sin(4 * x[:, 0]) + x[:, 1]):
    rng = np.random.default_rng(seed)
    Z = rng.random((n, 2))
    y = value(Z)
    y = (y - y.mean()) / y.std()
    made = GaussianProcess(np.array([0, 1]), Scales(np.array([0.4, 0.7]), 1.2, 0.01))
    made.add(Z)
    made.observe(y)
    return made, Z, y


def test_leaving_one_out_is_a_solve_without_it():
    made, Z, y = process(0)
    hp = HyperParameters()
    hp.Float("a", 0, 1)
    hp.Float("b", 0, 1)
    R = dense(ModelSpace(hp), Z, made.scales) + made.scales.n2 * np.eye(len(y))
    means, deviations = made.leave_one_out()
    for i in range(len(y)):
        rest = np.delete(np.arange(len(y)), i)
        k = np.linalg.solve(R[np.ix_(rest, rest)], R[rest, i])
        assert means[i] == pytest.approx(made.mean + k @ (y[rest] - made.mean))
        assert deviations[i] ** 2 == pytest.approx(R[i, i] - k @ R[rest, i])


def test_the_gradient_of_an_ensemble_is_right():
    made = Ensemble([process(0)[0], process(1)[0], process(2)[0]], np.array([0.5, 0.0, 0.5]))
    for x in np.random.default_rng(5).random((4, 2)):
        m, s, by_m, by_s = (v[0] for v in made.predict_with_gradient(x[None]))
        assert (m, s) == pytest.approx([v[0] for v in made.predict(x[None])])
        assert by_m == pytest.approx(slopes(lambda p: made.predict(p[None])[0][0], x), rel=1e-4, abs=1e-6)
        assert by_s == pytest.approx(slopes(lambda p: made.predict(p[None])[1][0], x), rel=1e-4, abs=1e-6)


def test_who_orders_the_trials_wrongly_has_no_say():
    own, Z, y = process(0, n=8)
    alike, against = process(1, n=40)[0], process(2, n=40, value=lambda x: -np.sin(4 * x[:, 0]) - x[:, 1])[0]
    say = weights([alike, against], own, Z, y, np.random.default_rng(0))
    assert say.sum() == pytest.approx(1)
    assert say[0] > 0.5
    assert say[1] == 0
    many, more_Z, more_y = process(0, n=500)
    say = weights([alike, against], many, more_Z, more_y, np.random.default_rng(0))
    assert say[1] == 0 < say[0] < say[2]  # by now it knows more than anybody
    few = weights([alike, against], own, Z[:2], y[:2], np.random.default_rng(0))
    assert few == pytest.approx([0.5, 0.5, 0])


# -- searches ------------------------------------------------------------------------------------------------


def declare(hp):
    hp.Float("x", 0, 1)
    hp.Float("lr", 1e-4, 1, sampling="log")
    hp.Choice("kind", ["a", "b", "c"])


def loss(values, shift=0.0):
    off = (values["x"] - 0.15 - shift) ** 2 + (np.log10(values["lr"]) + 3.2 + shift) ** 2 / 4
    return float(off + "abc".index(values["kind"]) * 0.1)


def search(oracle, value=loss):
    declare(oracle.hyperparameters)
    trials = []
    while (trial := oracle.create_trial("t")).status == "RUNNING":
        score = value(trial.hyperparameters.values)
        trials.append({"values": dict(trial.hyperparameters.values), "score": score})
        end(oracle, trial, score)
    return trials


def best(trials, n):
    return min(t["score"] for t in trials[:n])


def test_a_search_begins_where_earlier_ones_ended():
    before = search(BayesianOptimizationOracle("loss", max_trials=25, seed=9), lambda v: loss(v, shift=0.05))
    earlier = [{"name": "s3://before", "trials": before}]
    cold = [best(search(BayesianOptimizationOracle("loss", max_trials=5, seed=s)), 5) for s in range(5)]
    for seed in range(3):
        oracle = BayesianOptimizationOracle("loss", max_trials=8, seed=seed, earlier=earlier)
        warm = search(oracle)
        assert best(warm, 1) < 0.5 * min(cold)
        assert [t.why["how"] for t in oracle.trials.values()][:4] == ["earlier", "initial"] * 2


@pytest.mark.parametrize("how", ["found by the first trial", "asked for by a person"])
def test_the_best_earlier_trial_is_tried_whatever_comes_before_it(how):
    trials = [{"values": {"x": x}, "score": x} for x in (0.111, 0.222, 0.333)]
    # Two studies with the same best one.
    earlier = [{"name": "a", "trials": trials}, {"name": "b", "trials": trials[:2]}]
    oracle = BayesianOptimizationOracle("loss", max_trials=6, seed=1, earlier=earlier)
    if how == "asked for by a person":
        oracle.hyperparameters.Float("x", 0, 1)
        end(oracle, oracle.trial_of_values("t", {"x": 0.9}), 0.9)
    tried = [values["x"] for values in run(oracle, lambda hp: hp.Float("x", 0, 1))]
    hows = [trial.why["how"] for trial in oracle.trials.values() if trial.why]
    assert [x for x in tried if x in (0.111, 0.222, 0.333)][:2] == [0.111, 0.222]
    assert "random" not in hows[1:]


def test_misleading_studies_do_not_spoil_a_search():
    wrong = search(RandomSearchOracle("loss", max_trials=40, seed=3), lambda v: -loss(v))
    oracle = BayesianOptimizationOracle(
        "loss", max_trials=25, seed=0, earlier=[{"name": "w", "trials": wrong}]
    )
    assert best(search(oracle), 25) < 0.01


def test_what_is_known_is_part_of_the_configuration_and_proposals_follow_from_it():
    trials = search(RandomSearchOracle("loss", max_trials=15, seed=3))
    oracle = AshaOracle("loss", max_epochs=9, seed=1, earlier=[{"name": "w", "trials": trials}])
    declare(oracle.hyperparameters)
    spec = json.loads(json.dumps({"class": class_name(oracle), **oracle.settings()}))
    again = create_oracle(spec, hyperparameters=oracle.hyperparameters.copy())
    for n in range(9):
        one = oracle.create_trial("t")
        again.seed = oracle.seed
        again.set_state(oracle.get_state())
        assert again.ongoing_trials["t"].hyperparameters.values == one.hyperparameters.values
        end(oracle, one, float(n))


def test_trials_with_values_that_are_gone_are_left_out_and_others_moved_to_the_nearest():
    def trial(**values):
        return {"values": {"x": 0.5, "lr": 0.01, "kind": "a", **values}, "score": 1.0 - values.get("x", 0)}

    earlier = [{"name": "w", "trials": [trial(kind="gone", x=0.9), trial(x=7.0), trial(lr=0.02)]}]
    oracle = BayesianOptimizationOracle("loss", max_trials=5, seed=1, earlier=earlier)
    declare(oracle.hyperparameters)
    first = oracle.create_trial("t").hyperparameters.values
    assert first == pytest.approx({"x": 1.0, "lr": 0.01, "kind": "a"})
    ordered = BayesianOptimizationOracle(
        "loss", seed=1, earlier=[{"name": "w", "trials": [{"values": {"u": 256}, "score": 1.0}]}]
    )
    ordered.hyperparameters.Choice("u", [16, 32, 64])
    assert ordered.create_trial("t").hyperparameters.values == {"u": 64}
    gone = [{"name": "w", "trials": [trial(kind="gone")]}]
    assert len(search(BayesianOptimizationOracle("loss", max_trials=9, seed=1, earlier=gone))) == 9


def test_with_little_to_begin_with_no_first_trial_is_lost():
    earlier = [{"name": "w", "trials": [{"values": {"x": 0.5, "lr": 0.01, "kind": "a"}, "score": 1.0}]}]
    oracle = BayesianOptimizationOracle("loss", max_trials=4, seed=1, earlier=earlier)
    search(oracle)
    assert [t.why["how"] for t in oracle.trials.values()] == ["earlier", "initial", "initial", "initial"]
    gone = [{"name": "w", "trials": [{"values": {"kind": "gone"}, "score": 1.0}]}]
    cold = BayesianOptimizationOracle("loss", max_trials=5, seed=1, earlier=gone)
    search(cold)
    assert {t.why["how"] for t in cold.trials.values()} == {"initial"}


def test_an_oracle_that_draws_at_random_takes_no_earlier_trials():
    with pytest.raises(ConfigurationError, match='needs `sampler="bayesian"`'):
        HyperbandOracle("loss", earlier=[{"name": "w", "trials": [{"values": {}, "score": 1.0}]}])


@pytest.mark.parametrize(
    "given",
    [
        "s3://x",
        [{"trials": []}],
        [3],
        [{"trials": [{"values": {}, "score": float("nan")}]}],
        [{"trials": [1]}],
        [{}] * 6,
    ],
)
def test_what_is_no_list_of_studies_is_refused(given):
    with pytest.raises(ConfigurationError, match="earlier"):
        BayesianOptimizationOracle("loss", earlier=given)


def test_lanes_that_begin_with_an_earlier_study_do_not_meet():
    def value(values):
        return sum((values[name] - 0.4) ** 2 for name in "xyz")

    drawn = [
        dict(zip("xyz", map(float, row), strict=True)) for row in np.random.default_rng(0).random((40, 3))
    ]
    earlier = [{"name": "before", "trials": [{"values": v, "score": value(v)} for v in drawn]}]
    space = HyperParameters()
    for name in "xyz":
        space.Float(name, 0, 1)
    closest = []
    for seed in range(3):
        oracle = BayesianOptimizationOracle(
            "loss", max_trials=None, seed=seed, hyperparameters=space, earlier=earlier
        )
        for trial in [oracle.create_trial(f"first{n}") for n in range(4)]:
            end(oracle, trial, value(trial.hyperparameters.values))
        batch = [oracle.create_trial(f"t{n}").hyperparameters for n in range(6)]
        points = np.array([[hp.get(name) for name in "xyz"] for hp in batch])
        distances = np.linalg.norm(points[:, None] - points[None], axis=-1)[np.triu_indices(6, 1)]
        closest.append(distances.min())
    assert np.median(closest) > 0.002


def test_what_an_earlier_study_did_not_have_begins_with_its_default():
    trials = [{"values": {"x": 0.1 * i}, "score": abs(i - 3.0)} for i in range(10)]
    oracle = BayesianOptimizationOracle(
        "loss", max_trials=9, seed=1, earlier=[{"name": "a", "trials": trials}]
    )
    oracle.hyperparameters.Float("x", 0, 1)
    oracle.hyperparameters.Boolean("norm")
    oracle.hyperparameters.Choice("optimizer", ["adam", "sgd", "rmsprop"])
    oracle.hyperparameters.Float("dropout", 0, 0.5, default=0.1)
    first = oracle.create_trial("t")
    assert first.why["how"] == "earlier"
    values = first.hyperparameters.values
    assert values.pop("x") == pytest.approx(0.3)
    assert values.pop("dropout") == pytest.approx(0.1)
    assert values == {"norm": False, "optimizer": "adam"}
