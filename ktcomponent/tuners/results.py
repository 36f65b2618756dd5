"""What a trial may return, made into metrics.

A result is a Keras `History` (its best epoch counts), a dict of metrics, a float (the objective), or a list
of those, one per execution, which are averaged.
"""

from __future__ import annotations

import math
import numbers
import statistics
from collections.abc import Mapping
from typing import Any

from ktcomponent.errors import FatalTypeError, FatalValueError
from ktcomponent.objective import DefaultObjective, Objective


def is_history(result: Any) -> bool:
    """Whether a result is a Keras `History`; needs no Keras."""
    return isinstance(getattr(result, "history", None), dict) and hasattr(result, "epoch")


def is_number(result: Any) -> bool:
    return isinstance(result, numbers.Real)


def validate(results: Any, objective: Objective, source: str) -> None:
    """Refuses results from which no score can be had.

    Args:
        results: What was returned.
        objective: The search's objective.
        source: Who returned it, for the message.

    Raises:
        FatalTypeError: If the type is wrong.
        FatalValueError: If the objective is missing.
    """
    if isinstance(results, list) and results:
        for result in results:
            validate(result, objective, source)
        return
    if is_number(results):
        return
    if results is None:
        raise FatalTypeError(f"The return value of {source} is None. Did you forget to return the metrics?")
    if not isinstance(results, dict) and not is_history(results):
        raise FatalTypeError(
            f"Expected the return value of {source} to be one of float, dict, keras.callbacks.History, or a list "
            f"of one of these types. Received: {results!r} of type {type(results).__name__}."
        )
    metrics = results if isinstance(results, dict) else results.history
    if objective.has_value(metrics) or objective.name in metrics:
        return
    if isinstance(objective, DefaultObjective):
        raise FatalTypeError(
            f"Expected the return value of {source} to be a single float when `objective` is left unspecified. "
            f"Received metrics: {sorted(metrics)}. Name one of them as the objective."
        )
    raise FatalValueError(
        f"Expected the metrics from {source} to have the objective {objective.name!r}. Received: {sorted(metrics)}. "
        "Is the validation data passed, and is the metric's name right?"
    )


def to_metrics(results: Any, objective: Objective) -> dict[str, float]:
    """The metrics of a validated result; those of several executions averaged."""
    if isinstance(results, list):
        each = [to_metrics(result, objective) for result in results]
        names = dict.fromkeys(name for metrics in each for name in metrics)
        return {name: statistics.fmean(m[name] for m in each if name in m) for name in names}
    if is_number(results):
        return {objective.name: float(results)}
    if isinstance(results, dict):
        return _numbers(results)
    return _best_epoch(results.history, objective)[1]


def best_step(results: Any, objective: Objective) -> int:
    """The best epoch of a `History`, the mean over executions of a list, 0 of anything else."""
    if isinstance(results, list):
        return int(statistics.fmean(best_step(result, objective) for result in results))
    return _best_epoch(results.history, objective)[0] if is_history(results) else 0


def histories(results: Any) -> list[dict[str, list[float]]]:
    """The metrics over epochs of each execution."""
    if isinstance(results, list):
        return [history for result in results for history in histories(result)]
    if not is_history(results):
        return []
    return [{name: [mean(value) for value in values] for name, values in results.history.items()}]


def _best_epoch(history: Mapping[str, list[float]], objective: Objective) -> tuple[int, dict[str, float]]:
    count = max(len(values) for values in history.values())
    epochs: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, values in history.items():
        # With validation_freq=k there is a value after each k-th epoch.
        every = count // len(values) if values else 0
        for n, value in enumerate(values, start=1):
            epochs[n * every - 1][name] = value
    epochs = [_numbers(metrics) for metrics in epochs]
    some = any(objective.has_value(metrics) for metrics in epochs)
    best = 0
    best_value = math.nan
    for number, metrics in enumerate(epochs):
        if some and not objective.has_value(metrics):
            continue
        value = objective.get_value(metrics)
        metrics.setdefault(objective.name, value)
        if math.isnan(best_value) or objective.better_than(value, best_value):
            best, best_value = number, value
    return best, epochs[best]


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are numbers, or arrays of numbers, whose mean is taken (one number a class, for example)."""
    found = {name: mean(value) for name, value in metrics.items()}
    return {name: value for name, value in found.items() if value is not None}


def mean(value: Any) -> Any:
    """A number as it is, the mean of an array of numbers, None of anything else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        import numpy as np

        try:
            return float(np.mean(np.asarray(value, dtype=float)))
        except (TypeError, ValueError):
            return None
