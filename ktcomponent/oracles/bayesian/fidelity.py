"""`Fidelity`: trainings of different length in one model."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence

from ktcomponent.trial import Trial

FIDELITY = "tuner/fidelity"
"""A hyperparameter of the model alone: how far a training went, from 0 to 1 on a logarithmic scale of steps."""

FIRM, MOST_KNOWN = 10, 100
"""A common gain weighs as much as so many trainings, beside those that say how steep a line is; so many are asked at most."""


@dataclasses.dataclass(frozen=True)
class Fidelity:
    """How far trainings go, where some go further than others; two that compare equal say the same.

    Attributes:
        most: The steps of a full training; mostly epochs.
    """

    most: int

    def planned(self, trial: Trial) -> int:
        """Until which step a trial trains."""
        raise NotImplementedError

    def configuration(self, trial: Trial) -> str:
        """What trials that go on with each other's models have in common."""
        raise NotImplementedError

    def ended(self, trial: Trial) -> int:
        """After how many steps a completed trial ended."""
        return min(trial.stopped or self.planned(trial), self.most)

    def position(self, epochs: int) -> float:
        """Of a number of steps: 1 for a full training."""
        return 1.0 if self.most <= 1 else math.log(min(max(epochs, 1), self.most)) / math.log(self.most)

    def lifted(self, completed: Sequence[Trial]) -> list[float]:
        """Scores of trials as they would be after a full training, if all went on as most of those did that went on.

        Only the same configuration is compared with itself, so it doesn't matter that the better ones go on. How a score after
        so many steps follows from that at the level before is a line through what is known of both (H. Theil 1950,
        P. K. Sen 1968: the median of slopes between pairs), at most as steep as a common gain, and as steep while few have gone
        on: trainings that are far apart in the beginning come closer to each other. What is left to the model is in which
        of them gain more than others.
        """
        curves: dict[str, dict[int, float]] = defaultdict(dict)
        for trial in completed:
            curves[self.configuration(trial)].update(self._curve(trial))
        levels = sorted({steps for curve in curves.values() for steps in curve} | {self.most})
        slope, lift = 1.0, 0.0
        lines = {self.most: (slope, lift)}
        for low, high in reversed(list(itertools.pairwise(levels))):
            known = [(curve[low], curve[high]) for curve in curves.values() if low in curve and high in curve]
            steepness, gain = _line(known)
            slope, lift = slope * steepness, slope * gain + lift
            lines[low] = slope, lift
        ends = [(lines[self.ended(trial)], trial.score or 0.0) for trial in completed]
        return [slope * score + lift for (slope, lift), score in ends]

    def _curve(self, trial: Trial) -> dict[int, float]:
        """What a completed trial had reached after how many steps; its score at the last of them."""
        ended = self.ended(trial)
        reached = {n: value for n, value in trial.rungs.items() if n < ended and math.isfinite(value)}
        return {**reached, ended: trial.score or 0.0}


class UntilStopped(Fidelity):
    """Of trials that all are full trainings, but for those that a stopping rule ended."""

    def planned(self, trial: Trial) -> int:
        del trial
        return self.most

    def configuration(self, trial: Trial) -> str:
        return trial.trial_id


@dataclasses.dataclass(frozen=True)
class InRounds(Fidelity):
    """Of trials that train from one epoch to another, as those of a `MultiFidelityOracle`.

    Attributes:
        of: What trials that go on with each other's models have in common.
    """

    of: Callable[[Trial], str]

    def planned(self, trial: Trial) -> int:
        return min(int(trial.hyperparameters.values.get("tuner/epochs", self.most)), self.most)

    def configuration(self, trial: Trial) -> str:
        return self.of(trial)


def _line(known: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope, from 0 to 1, and height at 0 of a line through points; the nearer to 1, the fewer they are."""
    slope = 1.0
    if known:
        some = itertools.combinations(known[:: math.ceil(len(known) / MOST_KNOWN)], 2)
        rises = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in some if x1 != x2]
        steepness = min(max(statistics.median(rises), 0.0), 1.0) if rises else 1.0
        slope += (steepness - 1.0) * len(known) / (len(known) + FIRM)
    return slope, statistics.median(y - slope * x for x, y in known) if known else 0.0
