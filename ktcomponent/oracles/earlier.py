"""What an oracle is told of earlier studies: JSON, kept with the study that it warms up."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from ktcomponent.errors import ConfigurationError

if TYPE_CHECKING:
    from ktcomponent.oracles.bayesian.sampler import Sampler

MOST_STUDIES, MOST_TRIALS = 5, 100


class EarlierTrial(TypedDict):
    """Values by name, and what a trial with them scored."""

    values: dict[str, Any]
    score: float


class EarlierStudy(TypedDict):
    """A study's trials, with the same objective as this one's; `name` is for people."""

    name: str
    trials: list[EarlierTrial]


class Warmed:
    """The part of an oracle that has a model, which may know trials of earlier studies."""

    _earlier: Sequence[EarlierStudy] = ()
    _known_sampler: Sampler | None = None

    @property
    def earlier(self) -> list[EarlierStudy] | None:
        """Trials of earlier studies; None for none."""
        return list(self._earlier) or None

    @earlier.setter
    def earlier(self, given: Any) -> None:
        self._earlier = checked_earlier(given)

    @property
    def _sampler(self) -> Sampler:
        """What proposes values; the same one, with what it has worked out, for as long as the settings are the same."""
        wanted = self._new_sampler()
        if self._known_sampler != wanted:
            self._known_sampler = wanted
        return self._known_sampler

    def _new_sampler(self) -> Sampler:
        """What the settings say."""
        raise NotImplementedError


def checked_earlier(given: Any) -> list[EarlierStudy]:
    """The argument `earlier` of an oracle, checked.

    Raises:
        ConfigurationError: If it is no list of at most 5 studies with 1 to 100 trials each.
    """
    if given is None:
        return []
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence) or len(given) > MOST_STUDIES:
        raise ConfigurationError(
            f"`earlier` must be a list of at most {MOST_STUDIES} studies, got {given!r}."
        )
    return [_study(each) for each in given]


def _study(given: Any) -> EarlierStudy:
    trials = given.get("trials") if isinstance(given, Mapping) else None
    if not isinstance(trials, Sequence) or not 1 <= len(trials) <= MOST_TRIALS:
        raise ConfigurationError(
            f'`earlier` must have studies as {{"name": ..., "trials": [...]}} with 1 to {MOST_TRIALS} trials, got {given!r:.200}.'
        )
    return {"name": str(given.get("name", "")), "trials": [_trial(each) for each in trials]}


def _trial(given: Any) -> EarlierTrial:
    match given:
        case {"values": Mapping() as values, "score": int() | float() as score} if (
            abs(score) <= sys.float_info.max
        ):
            return {"values": dict(values), "score": float(score)}
    raise ConfigurationError(
        f'A trial in `earlier` must be {{"values": {{...}}, "score": a finite number}}, got {given!r:.200}.'
    )
