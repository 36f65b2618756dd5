"""Searches whose trainings are replayed from the table of curves, or run while they are asked for."""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from benchmarks.search_quality.curves import EPOCHS, PATH, SPACE
from benchmarks.search_quality.space import Dimension


class Trained(Protocol):
    """What a search needs to know of its trainings.

    Attributes:
        space: The search space.
    """

    space: Sequence[Dimension]

    def curve(self, values: Mapping[str, Any]) -> Sequence[float] | np.ndarray:
        """What a configuration's training reaches after each epoch."""

    def good(self, part: float = 0.01) -> float:
        """The loss that the best part of all configurations reaches."""


class Table:
    """The trainings of all configurations of a grid.

    Args:
        rows: The values of each, and its loss after each epoch.
        space: The search space.

    Attributes:
        losses: What each training has reached after each epoch; an array (n, epochs).
    """

    def __init__(
        self, rows: Sequence[tuple[Mapping[str, Any], Sequence[float]]], space: Sequence[Dimension]
    ) -> None:
        self.losses = np.minimum.accumulate(np.array([losses for _, losses in rows]), axis=1)
        self.space = space
        self._row_of = {self._key(values): n for n, (values, _) in enumerate(rows)}

    def curve(self, values: Mapping[str, Any]) -> np.ndarray:
        return np.asarray(self.losses[self._row_of[self._key(values)]])

    def good(self, part: float = 0.01) -> float:
        best = np.sort(self.losses[:, -1])
        return float(best[max(math.ceil(part * len(best)) - 1, 0)])

    def _key(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of active hyperparameters; numbers to six digits, since packages differ in the last bit of a grid's."""
        known = (values[d.name] if d.is_active(values) else None for d in self.space)
        return tuple(float(f"{v:.6g}") if isinstance(v, float) else v for v in known)


def reported() -> Table:
    """The table of Keras networks; losses are the part of images that one gets wrong."""
    rows = [json.loads(line) for line in PATH.read_text().splitlines()]
    return Table([(row["values"], [1.0 - right for right in row["val_accuracy"]]) for row in rows], SPACE)


def run(
    oracle: Any,
    table: Trained,
    lanes: int = 1,
    jitter: float = 0.0,
    until: Callable[[float, int], bool] | None = None,
) -> dict[str, Any]:
    """A search with its lanes on a clock of its own, where an epoch takes about one unit of time.

    Args:
        oracle: Of ours or of KerasTuner.
        table: The trainings.
        lanes: How many train at a time.
        jitter: By what part the durations of trainings differ at most.
        until: Whether the search ends, by the loss of the best full training so far, and the epochs trained.

    Returns:
        How many epochs were trained, the time it took, the part of it that lanes were busy, the least loss of a full training, and that of any.
    """
    rng = np.random.default_rng(0)
    clock, busy, epochs, best, number = 0.0, 0.0, 0, math.inf, 0
    reached_least = math.inf
    running: list[tuple[float, int, int, Any]] = []
    idle = set(range(lanes))
    while True:
        for lane in sorted(idle):
            trial = oracle.create_trial(f"lane{lane}")
            if trial.status != "RUNNING":
                continue
            values = trial.hyperparameters.values
            first, last = values.get("tuner/initial_epoch", 0), values.get("tuner/epochs", EPOCHS)
            took = (last - first) * rng.uniform(1.0 - jitter, 1.0 + jitter)
            heapq.heappush(running, (clock + took, number, lane, trial))
            number += 1
            idle.discard(lane)
        if not running or (until is not None and until(best, epochs)):
            break
        ended, _, lane, trial = heapq.heappop(running)
        busy += (ended - clock) * (len(running) + 1)
        clock = ended
        values = trial.hyperparameters.values
        first, last = values.get("tuner/initial_epoch", 0), values.get("tuner/epochs", EPOCHS)
        reached = table.curve(values)
        told = None
        for epoch in range(first, last):
            told = oracle.update_trial(trial.trial_id, {"loss": float(reached[epoch])}, step=epoch)
            epochs += 1
            if getattr(told, "status", told) == "STOPPED":
                last = epoch + 1
                break
        reached_least = min(reached_least, float(reached[last - 1]))
        best = min(best, float(reached[last - 1]) if last == EPOCHS else math.inf)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        idle.add(lane)
    return {
        "epochs": epochs,
        "time": clock,
        "busy": busy / (clock * lanes),
        "best": best,
        "reached": reached_least,
    }
