"""Metric values of a trial, over steps and executions, and which direction of a metric is better."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

Direction = Literal["min", "max"]


class MetricObservation:
    """The values of one metric at one step, one per execution.

    Args:
        value: A number, or a list with one number per execution.
        step: The step at which it was seen, for example the epoch.
    """

    def __init__(self, value: float | list[float], step: int) -> None:
        self.value = list(value) if isinstance(value, list) else [value]
        self.step = step

    def append(self, value: float | list[float]) -> None:
        self.value += value if isinstance(value, list) else [value]

    def mean(self) -> float:
        try:
            return math.fsum(self.value) / len(self.value)
        except (OverflowError, ValueError):  # too large a sum, or infinities of both signs
            return sum(self.value) / len(self.value)

    def get_config(self) -> dict[str, Any]:
        return {"value": list(self.value), "step": self.step}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MetricObservation:
        return cls([float(v) for v in config["value"]], config["step"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MetricObservation) and (other.value, other.step) == (self.value, self.step)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"MetricObservation(value={self.value}, step={self.step})"


class MetricHistory:
    """All observations of one metric.

    Args:
        direction: "min" or "max".

    Raises:
        ValueError: If the direction is something else.
    """

    def __init__(self, direction: str = "min") -> None:
        if direction not in ("min", "max"):
            raise ValueError(f'`direction` should be one of {{"min", "max"}}, but got: {direction!r}.')
        self.direction = cast("Direction", direction)
        self._observations: dict[int, MetricObservation] = {}

    def update(self, value: float | list[float], step: int) -> None:
        if step in self._observations:
            self._observations[step].append(value)
        else:
            self._observations[step] = MetricObservation(value, step)

    def get_best_value(self) -> float | None:
        """The best mean over steps, NaN steps left out; NaN if there is nothing else; None if empty."""
        best = self._best()
        return None if best is None else best.mean()

    def get_best_step(self) -> int | None:
        best = self._best()
        return None if best is None else best.step

    def get_history(self) -> list[MetricObservation]:
        """The observations in order of their steps."""
        return [self._observations[step] for step in sorted(self._observations)]

    def set_history(self, observations: Iterable[MetricObservation]) -> None:
        for observation in observations:
            self.update(list(observation.value), observation.step)

    def get_statistics(self) -> dict[str, float]:
        """min, max, mean, median, var and std (of the population) over the steps that are not NaN."""
        values = [v for v in (o.mean() for o in self.get_history()) if not math.isnan(v)]
        if not values:
            return {}
        variance = statistics.pvariance(values)
        return {
            "min": min(values),
            "max": max(values),
            "mean": statistics.fmean(values),
            "median": statistics.median(values),
            "var": variance,
            "std": math.sqrt(variance),
        }

    def get_last_value(self) -> float | None:
        history = self.get_history()
        return history[-1].mean() if history else None

    def get_config(self) -> dict[str, Any]:
        return {"direction": self.direction, "observations": [o.get_config() for o in self.get_history()]}

    def summary(self) -> dict[str, Any]:
        """Like `get_config`, with the best and the last observation only: of bounded size."""
        history = self.get_history()
        kept = {o.step: o for o in [self._best(), history[-1]] if o is not None} if history else {}
        return {"direction": self.direction, "observations": [kept[s].get_config() for s in sorted(kept)]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MetricHistory:
        history = cls(config["direction"])
        history.set_history(MetricObservation.from_config(o) for o in config["observations"])
        return history

    def _best(self) -> MetricObservation | None:
        history = self.get_history()
        numbers = [o for o in history if not math.isnan(o.mean())]
        if not numbers:
            return history[0] if history else None
        choose = min if self.direction == "min" else max
        return choose(numbers, key=lambda o: o.mean())


class MetricsTracker:
    """The histories of all metrics of one trial, by name."""

    def __init__(self, metrics: Iterable[Any] | None = None) -> None:
        self.metrics: dict[str, MetricHistory] = {}
        self.register_metrics(metrics)

    def exists(self, name: str) -> bool:
        return name in self.metrics

    def register_metrics(self, metrics: Iterable[Any] | None = None) -> None:
        for metric in metrics or []:
            self.register(metric.name)

    def register(self, name: str, direction: str | None = None) -> None:
        """Adds a metric; an unknown direction is inferred from the name, else "min".

        Raises:
            ValueError: If the metric is already there.
        """
        if self.exists(name):
            raise ValueError(f"Metric already exists: {name}")
        self.metrics[name] = MetricHistory(direction or infer_metric_direction(name) or "min")

    def update(self, name: str, value: float, step: int = 0) -> bool:
        """Adds an observation; tells whether the best value changed."""
        if not self.exists(name):
            self.register(name)
        before = self.metrics[name].get_best_value()
        self.metrics[name].update(float(value), step)
        return self.metrics[name].get_best_value() != before

    def get_history(self, name: str) -> list[MetricObservation]:
        return self._get(name).get_history()

    def set_history(self, name: str, observations: Iterable[MetricObservation]) -> None:
        if not self.exists(name):
            self.register(name)
        self.metrics[name].set_history(observations)

    def get_best_value(self, name: str) -> float | None:
        return self._get(name).get_best_value()

    def get_best_step(self, name: str) -> int | None:
        return self._get(name).get_best_step()

    def get_statistics(self, name: str) -> dict[str, float]:
        return self._get(name).get_statistics()

    def get_last_value(self, name: str) -> float | None:
        return self._get(name).get_last_value()

    def get_direction(self, name: str) -> str:
        return self._get(name).direction

    def get_config(self) -> dict[str, Any]:
        return {"metrics": {name: history.get_config() for name, history in self.metrics.items()}}

    def summary(self) -> dict[str, Any]:
        return {name: history.summary() for name, history in self.metrics.items()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MetricsTracker:
        tracker = cls()
        for name, history in config["metrics"].items():
            tracker.metrics[name] = MetricHistory.from_config(history)
        return tracker

    def _get(self, name: str) -> MetricHistory:
        if name not in self.metrics:
            raise ValueError(f"Unknown metric: {name}. Known: {sorted(self.metrics)}.")
        return self.metrics[name]


# The names under which Keras knows its metrics and losses, lower case and without underscores, so that this
# needs no Keras. Everything Keras has and that is not in the first set is better when smaller.
_MORE_IS_BETTER = frozenset(
    [
        "acc",
        "accuracy",
        "cosinesimilarity",
        "binaryaccuracy",
        "categoricalaccuracy",
        "sparsecategoricalaccuracy",
        "topkcategoricalaccuracy",
        "sparsetopkcategoricalaccuracy",
        "truepositives",
        "truenegatives",
        "precision",
        "recall",
        "auc",
        "precisionatrecall",
        "recallatprecision",
        "sensitivityatspecificity",
        "specificityatsensitivity",
        "f1score",
        "fbetascore",
        "r2score",
        "iou",
        "binaryiou",
        "meaniou",
        "onehotiou",
        "onehotmeaniou",
        "concordancecorrelation",
        "pearsoncorrelation",
    ]
)
_LESS_IS_BETTER = frozenset(
    [
        "loss",
        "crossentropy",
        "ce",
        "categoricalgeneralizedcrossentropy",
        "binarycrossentropy",
        "categoricalcrossentropy",
        "sparsecategoricalcrossentropy",
        "binaryfocalcrossentropy",
        "categoricalfocalcrossentropy",
        "meansquarederror",
        "mse",
        "rootmeansquarederror",
        "rmse",
        "meanabsoluteerror",
        "mae",
        "meanabsolutepercentageerror",
        "mape",
        "meansquaredlogarithmicerror",
        "msle",
        "kldivergence",
        "kld",
        "kullbackleiblerdivergence",
        "logcosh",
        "logcosherror",
        "poisson",
        "hinge",
        "squaredhinge",
        "categoricalhinge",
        "huber",
        "falsepositives",
        "falsenegatives",
        "circle",
        "ctc",
        "dice",
        "tversky",
        "mean",
        "sum",
        "meanmetricwrapper",
    ]
)


def infer_metric_direction(metric: Any) -> Direction | None:
    """ "min" or "max" for a metric that Keras knows, None for any other.

    Args:
        metric: A name (as in Keras's logs, with `val_` or `weighted_` before it or not), a metric, a loss,
            or a function.
    """
    if not isinstance(metric, str):
        named = getattr(metric, "_fn", metric)
        metric = getattr(named, "__name__", type(named).__name__)
    name = metric.removeprefix("val_").removeprefix("weighted_").replace("_", "").lower()
    if name in _MORE_IS_BETTER:
        return "max"
    return "min" if name in _LESS_IS_BETTER else None
