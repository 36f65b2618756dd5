"""Which oracle to use where nobody says so: by fidelity, budget and space."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameter, HyperParameters
from ktcomponent.oracles.arguments import optional_count
from ktcomponent.oracles.grid_search import GridSearchOracle, axis
from ktcomponent.oracles.odometer import Odometer

AUTO = "auto"
FEW = 9
"""With fewer configurations than these halving them twice leaves none to choose from."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """An oracle for a search.

    Attributes:
        name: Its class.
        arguments: Of its constructor.
        reason: For people; None where a study has made the choice before.
    """

    name: str
    arguments: dict[str, Any]
    reason: str | None


def choose(
    arguments: Mapping[str, Any],
    space: HyperParameters | None = None,
    kept: Mapping[str, Any] | None = None,
) -> Choice:
    """The oracle for a search of which only the limits are known.

    Args:
        arguments: Those of the oracle, as far as they are given. `max_trials` is the number of configurations.
        space: The search space, where it is known already.
        kept: The configuration of the study's oracle, if there is a study: a raised limit doesn't make it another search.

    Raises:
        ConfigurationError: If the study has an oracle that is never chosen here, `max_trials` is no number, or the limit is
            given twice.
    """
    given = dict(arguments)
    if {"max_trials", "max_configurations"} <= given.keys():
        raise ConfigurationError(
            "`max_trials` and `max_configurations` mean the same here: give one of them."
        )
    count = optional_count("max_trials", given.get("max_configurations", given.get("max_trials")))
    if kept is not None:
        name, reason = kept["class"], None
        if name not in ("Asha", "BayesianOptimization", "GridSearch"):
            raise ConfigurationError(
                f'The study has the oracle {name}: name it in place of "{AUTO}", or leave the oracle out.'
            )
        if name == "Asha":
            given["variant"] = kept["variant"]
    elif "max_epochs" in given:
        name = "Asha"
        if count is not None and count < FEW and not {"variant", "stopping"} & given.keys():
            given["variant"] = "stopping"
            reason = (
                f"`max_epochs` is given, and {count} configurations are too few for rungs: each is trained by itself, "
                "until it is behind the others"
            )
        else:
            reason = "`max_epochs` is given, so short trainings can tell which long ones are worth it, and lanes never wait"
    else:
        size = _size(space)
        takes = inspect.signature(GridSearchOracle).parameters
        if size is not None and count is not None and size <= count and given.keys() <= takes.keys():
            name, reason = "GridSearch", f"all {size} combinations fit into max_trials={count}"
        else:
            name = "BayesianOptimization"
            reason = "every trial is trained to its end, so each is to be placed by all that is known"
    if name == "Asha" and "max_trials" in given:
        given["max_configurations"] = given.pop("max_trials")
    return Choice(name, given, reason)


def _size(space: HyperParameters | None) -> int | None:
    """How many combinations a space has; None where it isn't known, or has no end of them."""
    if space is None or not space.space or not all(_is_listed(hp) for hp in space.space):
        return None
    return Odometer(space, axis).size()


def _is_listed(hp: HyperParameter) -> bool:
    """Whether a grid has all values of its domain."""
    legal = hp.legal_values
    return legal is not None and len(axis(hp)) >= len(legal)
