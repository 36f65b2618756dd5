"""What a trial may return, and what is made of it."""

import math
from types import SimpleNamespace

import pytest

from ktcomponent.errors import FatalTypeError, FatalValueError
from ktcomponent.objective import create_objective
from ktcomponent.tuners import results

ACCURACY = create_objective("val_accuracy")
DEFAULT = create_objective(None)


def history(**metrics):
    return SimpleNamespace(history=metrics, epoch=[0])


def test_the_best_epoch_of_a_history_counts():
    result = history(val_accuracy=[0.1, 0.9, 0.5], loss=[3.0, 2.0, 1.0])
    results.validate(result, ACCURACY, "f()")
    assert results.to_metrics(result, ACCURACY) == {"val_accuracy": 0.9, "loss": 2.0}
    assert results.best_step(result, ACCURACY) == 1
    assert results.histories([result, result]) == [result.history] * 2


def test_an_epoch_that_is_no_number_is_never_the_best():
    result = history(val_accuracy=[math.nan, 0.2, 0.9, math.nan])
    assert results.best_step(result, ACCURACY) == 2
    assert math.isnan(results.to_metrics(history(val_accuracy=[math.nan]), ACCURACY)["val_accuracy"])


def test_executions_are_averaged():
    both = [history(val_accuracy=[0.2, 0.4]), {"val_accuracy": 0.8, "extra": 1.0}]
    assert results.to_metrics(both, ACCURACY) == {"val_accuracy": pytest.approx(0.6), "extra": 1.0}
    assert results.to_metrics([1.0, 2.0], DEFAULT) == {"default_objective": 1.5}


def test_several_objectives_are_summed_epoch_by_epoch():
    objective = create_objective(["val_loss", "val_accuracy"])
    result = history(val_loss=[1.0, 0.5], val_accuracy=[0.9, 0.1])
    results.validate(result, objective, "f()")
    assert results.best_step(result, objective) == 0
    assert results.to_metrics(result, objective)["multi_objective"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("result", "objective", "error", "message"),
    [
        (None, ACCURACY, FatalTypeError, "None"),
        ("0.5", ACCURACY, FatalTypeError, "str"),
        ({"loss": 1.0}, ACCURACY, FatalValueError, "'val_accuracy'"),
        ({"loss": 1.0}, DEFAULT, FatalTypeError, "single float"),
        (history(loss=[1.0]), ACCURACY, FatalValueError, "validation data"),
        ([1.0, None], DEFAULT, FatalTypeError, "None"),
    ],
)
def test_what_gives_no_score_is_refused(result, objective, error, message):
    with pytest.raises(error, match=message):
        results.validate(result, objective, "f()")
