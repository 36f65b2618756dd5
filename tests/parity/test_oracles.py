"""Oracles: the same order of the grid, the same brackets of Hyperband, the same answers in the book of trials."""

import pytest


def grid_space(hp):
    if hp.Choice("model", ["small", "large"], default="large") == "small":
        with hp.conditional_scope("model", ["small"]):
            hp.Int("units", 1, 3)
    hp.Boolean("norm")
    hp.Float("rate", 0.1, 0.5, step=0.2, default=0.3)


def discovered_late(hp):
    if hp.Choice("a", [1, 2, 3]) == 2:
        with hp.conditional_scope("a", [2]):
            hp.Choice("b", ["x", "y"])
    if hp.get("a") == 3:
        hp.Boolean("c")


def run(oracle, declare, score=lambda hp, n: float(n), limit=500):
    values = []
    while len(values) < limit:
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            return values
        declare(trial.hyperparameters)
        values.append(dict(trial.hyperparameters.values))
        oracle.update_trial(trial.trial_id, {"loss": score(trial.hyperparameters, len(values))})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return values


def make(package, name, tmp_path, **kwargs):
    oracle = getattr(package.oracles, name)("loss", **kwargs)
    if hasattr(oracle, "_set_project_dir"):
        oracle._set_project_dir(str(tmp_path), package.__name__)
    return oracle


@pytest.mark.parametrize("declare", [grid_space, discovered_late])
def test_the_grid_has_the_same_order(theirs, ours, declare, tmp_path):
    there = run(make(theirs, "GridSearchOracle", tmp_path), declare)
    here = run(make(ours, "GridSearchOracle", tmp_path), declare)
    there = [
        values for n, values in enumerate(there) if _as_written(values) not in map(_as_written, there[:n])
    ]
    # Where KerasTuner forgets what a late discovery left out, it is tried at the end.
    assert here[: len(there)] == there
    assert len({tuple(sorted(_as_written(v).items())) for v in here}) == len(here)


def _as_written(values):
    """KerasTuner tries 0.3, a default, and 3 * 0.1, a step, as if they were two values."""
    return {name: round(v, 9) if isinstance(v, float) else v for name, v in values.items()}


def hyperband(package, tmp_path, max_epochs, factor, iterations=1):
    oracle = make(
        package,
        "HyperbandOracle",
        tmp_path,
        max_epochs=max_epochs,
        factor=factor,
        hyperband_iterations=iterations,
        seed=1,
    )
    oracle.verbose = 0
    return oracle


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_hyperband_has_the_same_brackets(theirs, ours, factor, tmp_path):
    for max_epochs in range(1, 101):
        there, here = (hyperband(package, tmp_path, max_epochs, factor) for package in (theirs, ours))
        assert here._get_num_brackets() == there._get_num_brackets()
        for bracket in range(there._get_num_brackets()):
            assert here._get_num_rounds(bracket) == there._get_num_rounds(bracket)
            for number in range(there._get_num_rounds(bracket)):
                assert here._get_size(bracket, number) == there._get_size(bracket, number)
                assert here._get_epochs(bracket, number) == there._get_epochs(bracket, number)


@pytest.mark.parametrize(
    ("max_epochs", "factor", "iterations"), [(1, 3, 1), (4, 2, 2), (9, 3, 1), (10, 3, 1), (20, 4, 1)]
)
def test_hyperband_runs_the_same_rounds(theirs, ours, max_epochs, factor, iterations, tmp_path):
    def declare(hp):
        hp.Float("x", 0, 1)

    def places(package):
        oracle = hyperband(package, tmp_path, max_epochs, factor, iterations)
        oracle.hyperparameters.Float("x", 0, 1)
        found = run(oracle, declare, score=lambda hp, n: float((n * 7919) % 101))
        return [{k: v for k, v in values.items() if k != "x"} for values in found]

    assert places(ours) == places(theirs)


def test_hyperband_continues_the_best_trials(either, tmp_path):
    oracle = hyperband(either, tmp_path, 4, 2)
    oracle.hyperparameters.Float("x", 0, 1)
    values = run(oracle, lambda hp: hp.Float("x", 0, 1), score=lambda hp, n: hp.get("x"))
    for position, value in enumerate(values):
        if "tuner/trial_id" in value:
            past = oracle.get_trial(value["tuner/trial_id"])
            assert value["x"] == past.hyperparameters.get("x")
            assert value["tuner/initial_epoch"] == past.hyperparameters.get("tuner/epochs")
            assert int(past.trial_id) < position
    by_round = [v["x"] for v in values if (v["tuner/bracket"], v["tuner/round"]) == (2, 0)]
    promoted = [v["x"] for v in values if (v["tuner/bracket"], v["tuner/round"]) == (2, 1)]
    assert sorted(by_round)[: len(promoted)] == sorted(promoted)


def test_the_book_of_trials(either, tmp_path):
    """Statuses, retries and order, as KerasTuner keeps them."""
    oracle = make(either, "RandomSearchOracle", tmp_path, max_trials=4, seed=1, max_retries_per_trial=1)
    oracle.hyperparameters.Float("x", 0, 1)
    first, second = oracle.create_trial("a"), oracle.create_trial("b")
    assert oracle.create_trial("a").trial_id == first.trial_id
    assert oracle.start_order == [first.trial_id, second.trial_id]
    assert set(oracle.ongoing_trials) == {"a", "b"}
    first.status = "INVALID"
    oracle.end_trial(first)
    assert oracle.end_order == []
    again = oracle.create_trial("a")
    assert again.trial_id == first.trial_id
    again.status = "INVALID"
    oracle.end_trial(again)
    assert oracle.get_trial(first.trial_id).status == "FAILED"
    oracle.update_trial(second.trial_id, {"loss": float("nan")})
    second.status = "COMPLETED"
    oracle.end_trial(second)
    assert oracle.create_trial("b").trial_id == second.trial_id  # a score that is no number is a failed run
    assert oracle.remaining_trials() == 2
    assert oracle.end_order == [first.trial_id]


def test_missing_objective_is_fatal(either, tmp_path):
    oracle = make(either, "RandomSearchOracle", tmp_path, max_trials=1)
    oracle.hyperparameters.Float("x", 0, 1)
    trial = oracle.create_trial("a")
    with pytest.raises(ValueError, match="loss"):
        oracle.update_trial(trial.trial_id, {"other": 1.0})
