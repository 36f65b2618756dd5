"""What a trial may return, and what becomes of it."""

import types

import keras
import numpy as np
import pytest


def history(**metrics):
    made = keras.callbacks.History()
    made.history = {name: list(values) for name, values in metrics.items()}
    made.epoch = list(range(len(next(iter(metrics.values())))))
    return made


NAMED = ["val_loss", "val_accuracy"]
ACCEPTED = [
    ("val_loss", 1.5),
    ("val_loss", 3),
    ("val_loss", True),
    ("val_loss", np.float32(1.25)),
    ("val_loss", {"val_loss": 2.0, "other": 3.0}),
    ("val_loss", [1.0, 2.5]),
    ("val_loss", [{"val_loss": 1.0, "b": 2.0}, {"val_loss": 4.0, "b": 8.0}]),
    ("val_loss", history(loss=[3, 2, 1], val_loss=[3.0, 1.0, 2.0])),
    ("val_accuracy", history(loss=[3, 2, 1], val_accuracy=[0.5, 0.75, 0.75])),
    ("val_loss", [history(val_loss=[3.0, 1.0, 2.0]), history(val_loss=[1.0, 5.0, 6.0])]),
    ("val_loss", [history(val_loss=[3.0, 1.0, 2.0]), history(val_loss=[9.0, 8.0, 7.0, 1.5])]),
    (None, 2.5),
    (None, [2.5, 3.5]),
    (None, {"default_objective": 2.0}),
    (["val_loss", "val_accuracy"], history(val_loss=[1.0, 2.0, 0.5], val_accuracy=[0.5, 0.9, 0.2])),
]
REFUSED = [
    ("val_loss", None),
    ("val_loss", "0.5"),
    ("val_loss", {"other": 1.0}),
    ("val_loss", [1.0, None]),
    ("val_loss", (1.0, 2.0)),
    ("val_loss", history(loss=[1.0])),
    (None, {"val_loss": 1.0}),
    (None, history(val_loss=[1.0])),
]


def outcome(package, objective, result, tmp_path):
    """The search's end: metrics, score and step of its only trial; or the kind of its failure."""

    class Tuner(package.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            trial.hyperparameters.Float("x", 0, 1)
            return result

    oracle = package.oracles.RandomSearchOracle(objective, max_trials=1, max_consecutive_failed_trials=5)
    tuner = Tuner(oracle, directory=str(tmp_path), project_name=package.__name__)
    try:
        tuner.search(verbose=0)
    except package.errors.FatalError as error:
        return type(error).__name__
    (trial,) = oracle.trials.values()
    if trial.status != "COMPLETED":
        return "failed"
    metrics = {name: trial.metrics.get_best_value(name) for name in trial.metrics.metrics}
    return types.SimpleNamespace(score=trial.score, step=trial.best_step, metrics=metrics)


@pytest.mark.parametrize(("objective", "result"), ACCEPTED)
def test_the_same_is_accepted_and_means_the_same(theirs, ours, objective, result, tmp_path):
    there, here = (outcome(package, objective, result, tmp_path) for package in (theirs, ours))
    assert here.score == pytest.approx(there.score)
    assert here.step == there.step
    assert here.metrics == pytest.approx(there.metrics)


@pytest.mark.parametrize(("objective", "result"), REFUSED)
def test_the_same_is_refused(theirs, ours, objective, result, tmp_path):
    there, here = (outcome(package, objective, result, tmp_path) for package in (theirs, ours))
    assert isinstance(there, str)
    # KerasTuner lets a history without the objective fail trial after trial; here it is fatal at once.
    assert here == there or (there == "failed" and here == "FatalValueError")


def test_directions_of_all_built_in_metrics(theirs, ours):
    infer, known = ours.engine.metrics_tracking.infer_metric_direction, 0
    for module in (keras.metrics, keras.losses):
        for name in dir(module):
            thing = getattr(module, name)
            if not isinstance(thing, type) or name in ("Metric", "Loss", "MeanMetricWrapper", "Mean", "Sum"):
                continue
            snake = keras.src.utils.naming.to_snake_case(name)
            try:
                there = theirs.engine.metrics_tracking.infer_metric_direction(snake)
            except TypeError:
                there = None  # it makes the metric, and some can't be made without arguments
            here = infer(snake)
            assert here in ("min", "max"), name
            known += 1
            if there is not None and here != there:
                # Metrics that came after KerasTuner's list was made: it takes all that it doesn't know for "min".
                assert (there, here) == ("min", "max"), name
    assert known > 40


@pytest.mark.parametrize("metric", ["accuracy", "val_acc", "loss", "val_loss", "mse", "auc", "val_precision"])
def test_directions_by_name(theirs, ours, metric):
    infer = "infer_metric_direction"
    assert getattr(ours.engine.metrics_tracking, infer)(metric) == getattr(
        theirs.engine.metrics_tracking, infer
    )(metric)


def test_multi_objective(theirs, ours, tmp_path):
    def score(package):
        objective = [package.Objective("a", "min"), package.Objective("b", "max")]
        return outcome(package, objective, history(a=[3.0, 1.0], b=[1.0, 0.5]), tmp_path)

    there, here = score(theirs), score(ours)
    assert (here.score, here.step) == (there.score, there.step)
