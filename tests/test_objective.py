"""Objectives, and which direction of a metric is better."""

import math

import pytest

from ktcomponent.errors import ConfigurationError
from ktcomponent.metrics import MetricHistory, MetricsTracker, infer_metric_direction
from ktcomponent.objective import DefaultObjective, MultiObjective, Objective, create_objective


def test_an_objective_is_made_from_whatever_says_enough():
    assert isinstance(create_objective(None), DefaultObjective)
    assert create_objective("val_accuracy") == Objective("val_accuracy", "max")
    assert create_objective({"name": "cost", "direction": "min"}) == Objective("cost", "min")
    multi = create_objective(["val_loss", Objective("speed", "max")])
    assert isinstance(multi, MultiObjective)
    assert multi.get_value({"val_loss": 3.0, "speed": 1.0, "other": 9.0}) == 2.0
    for objective in (create_objective("loss"), multi, DefaultObjective()):
        assert create_objective(objective.get_config()) == objective


@pytest.mark.parametrize(
    "objective", ["my_metric", 3, [], ["loss", "loss"], {"name": "x"}, {"name": "x", "direction": "up"}]
)
def test_an_objective_that_says_too_little_is_refused(objective):
    with pytest.raises(ConfigurationError):
        create_objective(objective)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("val_accuracy", "max"),
        ("auc", "max"),
        ("val_loss", "min"),
        ("weighted_acc", "max"),
        ("mean_squared_error", "min"),
        ("mae", "min"),
        ("sparse_categorical_accuracy", "max"),
        ("my_metric", None),
    ],
)
def test_the_direction_of_keras_metrics_is_known(name, direction):
    assert infer_metric_direction(name) == direction


def test_the_best_step_is_that_of_the_best_mean_over_executions():
    history = MetricHistory("max")
    for value, step in [(0.5, 0), (0.7, 0), (0.9, 1), (0.1, 1), (math.nan, 2)]:
        history.update(value, step)
    assert history.get_best_value() == pytest.approx(0.6)
    assert history.get_best_step() == 0
    assert len(history.summary()["observations"]) == 2


def test_metrics_come_back_from_their_json():
    tracker = MetricsTracker()
    assert tracker.update("val_loss", 2.0, step=1)
    assert not tracker.update("val_loss", 3.0, step=2)
    again = MetricsTracker.from_config(tracker.get_config())
    assert again.get_history("val_loss") == tracker.get_history("val_loss")
    assert again.get_statistics("val_loss")["mean"] == 2.5
    assert again.get_last_value("val_loss") == 3.0


@pytest.mark.slow
def test_the_direction_of_everything_that_keras_has_is_known():
    import inspect

    import keras

    other = ("deserialize", "get", "serialize", "Metric", "Loss")
    for module in (keras.metrics, keras.losses):
        for name, _member in inspect.getmembers(
            module, lambda m: inspect.isclass(m) or inspect.isfunction(m)
        ):
            assert name in other or infer_metric_direction(name) is not None, name
