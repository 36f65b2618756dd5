"""Rules that end a training early, since what it has reached says that it will not be among the best.

A rule looks at a training at its rungs only: after `min_steps` steps (epochs, mostly), and then after `factor` times as many
as at the rung before. What a training had reached at a rung is kept with its trial, so whoever trains another one
knows it: a study takes one commit a rung, not one an epoch.
"""

from __future__ import annotations

import inspect
import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ktcomponent.errors import ConfigurationError

Curve = Mapping[int, float]

GRACE = 0.15
"""With this part, of 50 epochs (whose last rung is after 32) none ends before 8, of 10 (8) none before 2."""


class StoppingRule:
    """Base of all rules.

    Args:
        min_steps: No training ends before so many steps; rounded up, as those of later rungs.
        factor: The steps until a rung over those until the one before; more than 1.
        min_trials: A rung says nothing until so many other trainings have passed it.

    Attributes:
        grace: No training ends before this part of the last rung of the longest one, nor before any has come to its end.

    Raises:
        ConfigurationError: If an argument can't be used.
    """

    name: ClassVar[str]
    grace: float = 0.0

    def __init__(self, min_steps: float = 1, factor: float = 2, min_trials: int = 5) -> None:
        self.min_steps = self._number("min_steps", min_steps, 1)
        self.factor = self._number("factor", factor, 1.1)
        self.min_trials = self._number("min_trials", min_trials, 1)

    def _number(self, name: str, value: Any, least: float, most: float = math.inf) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not least <= value <= most or math.isinf(value):
            limits = f"of at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
            raise ConfigurationError(
                f"`{name}` of the stopping rule {self.name!r} must be a number {limits}, got {value!r}."
            )
        return value

    def get_config(self) -> dict[str, Any]:
        """The rule as JSON: its name as "rule", and its arguments."""
        return {"rule": self.name, **vars(self)}

    def rung(self, steps: int) -> int | None:
        """The last rung at or before so many steps, as its number of steps; None before the first."""
        passed = list(itertools.takewhile(lambda rung: rung <= steps, self._rungs()))
        return passed[-1] if passed else None

    def following(self, steps: int) -> int:
        """The first rung after so many steps."""
        return next(rung for rung in self._rungs() if rung > steps)

    def _rungs(self) -> Iterator[int]:
        steps = float(self.min_steps)
        while True:
            rung = math.ceil(steps - 1e-9)
            yield rung
            steps = max(steps * self.factor, rung + 1)

    def is_hopeless(self, curve: Curve, others: Sequence[Curve]) -> bool:
        """Whether a training ends at the last rung that it has come to.

        Args:
            curve: The best that it had reached at each of its rungs; smaller is better.
            others: The same of all other trainings, as they were begun; at least `min_trials` have passed that rung.
        """
        raise NotImplementedError


class MedianRule(StoppingRule):
    """Ends a training that is worse than half of the latest others were after as many steps.

    Source: D. Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.2.1; here by the
    best value reached, by its rank among those that came as far, so each rung halves what goes on, and among the latest of
    them: where a search learns, nearly all that it tries is better than half of what it began with.

    Args:
        min_steps, factor, min_trials: See `StoppingRule`.
        grace: No training ends before this part of the last rung of the longest one, nor before any has come to its end: the
            first epochs favour what begins fast. With 0 only `min_steps` counts.
        leaders: Nor does one end that is no worse than one of so many others was then, which came to be the best of those that
            passed the last rung: where the best ones begin slowly, so may this one.
        latest: With how many it is compared at most, the last begun of those that came as far.
    """

    name = "median"

    def __init__(
        self,
        min_steps: float = 1,
        factor: float = 2,
        min_trials: int = 5,
        grace: float = GRACE,
        leaders: int = 3,
        latest: int = 10,
    ) -> None:
        super().__init__(min_steps, factor, min_trials)
        self.grace = self._number("grace", grace, 0, most=1)
        self.leaders = self._number("leaders", leaders, 0)
        self.latest = self._number("latest", latest, 1)

    def is_hopeless(self, curve: Curve, others: Sequence[Curve]) -> bool:
        value, passed = _at_rung(curve, others)
        rung, last = max(curve), max(max(other) for other in others)
        whole = sorted((other for other in others if last in other), key=lambda other: other[last])
        led = [other[rung] for other in whole[: int(self.leaders)] if rung in other]
        return value > statistics.median(passed[-int(self.latest) :]) and value > max(led, default=-math.inf)


class AshaRule(StoppingRule):
    """Lets one in `factor` trainings go on at each rung.

    Source: L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, in the variant that
    stops instead of promoting, so nobody waits and no training is taken up again.
    """

    name = "asha"

    def __init__(self, min_steps: float = 1, factor: float = 3, min_trials: int = 2) -> None:
        super().__init__(min_steps, factor, min_trials)

    def _rungs(self) -> Iterator[int]:
        # Powers of `factor`, as in the paper: rounding one up doesn't move those that follow.
        exact = (self.min_steps * float(self.factor) ** k for k in itertools.count())
        return (rung for rung, _ in itertools.groupby(math.ceil(steps - 1e-9) for steps in exact))

    def is_hopeless(self, curve: Curve, others: Sequence[Curve]) -> bool:
        value, passed = _at_rung(curve, others)
        going_on = max(int((len(passed) + 1) / self.factor), 1)
        return sum(other < value for other in passed) >= going_on


class CurveRule(StoppingRule):
    """Ends a training whose curve, continued to the end, will hardly become better than the best of the others.

    How a curve goes on is worked out in `ktcomponent.oracles.curves`.

    Args:
        min_steps, factor, min_trials, grace: See `MedianRule`.
        probability: A training ends when it becomes the best one with less than this probability.
        max_steps: After how many steps a training ends; None for the last rung that any of them has passed.
    """

    name = "curve"

    def __init__(
        self,
        min_steps: int = 1,
        factor: float = 1.5,
        min_trials: int = 5,
        probability: float = 0.05,
        max_steps: int | None = None,
        grace: float = GRACE,
    ) -> None:
        super().__init__(min_steps, factor, min_trials)
        self.grace = self._number("grace", grace, 0, most=1)
        self.probability = self._number("probability", probability, 0, most=1)
        self.max_steps = None if max_steps is None else self._number("max_steps", max_steps, 1)

    def is_hopeless(self, curve: Curve, others: Sequence[Curve]) -> bool:
        from ktcomponent.oracles.curves import probability_below

        reached = [value for other in others for value in other.values() if math.isfinite(value)]
        last = self.max_steps or max(rung for known in (curve, *others) for rung in known)
        rung = max(curve)
        if len(curve) < LEAST_POINTS or rung >= last or not reached:
            return False
        # The first values of a training may be larger by orders of magnitude, and say nothing of how it goes on.
        recent = dict(sorted(curve.items())[-MOST_POINTS:])
        finite = {n: value for n, value in recent.items() if math.isfinite(value)}
        passed = [value for value in _at_rung(curve, others)[1] if math.isfinite(value)]
        if len(finite) < LEAST_POINTS or len(passed) < self.min_trials:
            return False
        spread = statistics.pstdev([*passed, curve[rung]])
        if not 0.0 < spread < math.inf:
            return False
        chance = probability_below(finite, last, min(reached), spread)
        return bool(chance < self.probability)


LEAST_POINTS, MOST_POINTS = 4, 5
"""A curve is continued from so many rungs on, by its last rungs, so many at most."""


def _at_rung(curve: Curve, others: Sequence[Curve]) -> tuple[float, list[float]]:
    """What a training has reached at its last rung, and what those others had there that passed it."""
    rung = max(curve)
    return curve[rung], [other[rung] for other in others if rung in other]


RULES: dict[str, type[StoppingRule]] = {rule.name: rule for rule in (MedianRule, AshaRule, CurveRule)}


def stopping_rule(given: Any) -> StoppingRule | None:
    """The rule that a name, a configuration or a rule stands for; None for None.

    Raises:
        ConfigurationError: If there is no such rule, or an argument can't be used.
    """
    if given is None:
        return None
    if isinstance(given, StoppingRule) and type(given) in RULES.values():
        return given
    arguments = dict(given) if isinstance(given, Mapping) else {"rule": given}
    name = arguments.pop("rule", None)
    cls = RULES.get(name) if isinstance(name, str) else None
    if cls is None:
        raise ConfigurationError(
            f"`stopping` must be one of {sorted(RULES)}, such a name with arguments as "
            f'{{"rule": "median", "min_steps": 3}}, such a rule itself, or None; got {given!r}.'
        )
    unknown = sorted(set(arguments) - set(inspect.signature(cls).parameters))
    if unknown:
        raise ConfigurationError(
            f"The stopping rule {name!r} has no argument {', '.join(map(repr, unknown))}. "
            f"It takes: {', '.join(inspect.signature(cls).parameters)}."
        )
    return cls(**arguments)
