"""`Fidelity`: trainings of different length in one model."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from ktcomponent.trial import Trial

FIDELITY = "tuner/fidelity"
"""A hyperparameter of the model alone: how far a training went, from 0 to 1 on a logarithmic scale of epochs."""


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """How far trainings go, where some go further than others.

    Attributes:
        most: The epochs of a full training.
        reached: What a completed trial had reached after how many epochs; its score at the last of them.
        planned: Until which epoch a trial trains.
        configuration: What trials that go on with each other's models have in common.
    """

    most: int
    reached: Callable[[Trial], Mapping[int, float]]
    planned: Callable[[Trial], int]
    configuration: Callable[[Trial], str]

    def position(self, epochs: int) -> float:
        """Of a number of epochs: 1 for a full training."""
        return 1.0 if self.most <= 1 else math.log(min(max(epochs, 1), self.most)) / math.log(self.most)

    def lifted(self, told: Sequence[tuple[Trial, int, float]]) -> list[float]:
        """Scores as they would be after a full training, if all gained as much as most of those that went on.

        Only the same configuration is compared with itself, so it doesn't matter that the better ones go on. What is left to
        the model is in which of them gain more than others.

        Args:
            told: Trials, epochs, and the scores they had reached by then.
        """
        curves: dict[str, dict[int, float]] = defaultdict(dict)
        for trial, epochs, score in told:
            curves[self.configuration(trial)][epochs] = score
        levels = sorted({epochs for _, epochs, _ in told} | {self.most})
        lift, lifts = 0.0, {self.most: 0.0}
        for low, high in reversed(list(itertools.pairwise(levels))):
            gains = [curve[high] - curve[low] for curve in curves.values() if low in curve and high in curve]
            lift += statistics.median(gains) if gains else 0.0
            lifts[low] = lift
        return [score + lifts[epochs] for _, epochs, score in told]
