"""Oracles by name: what `--oracle` and a study's configuration say, made into an object."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles.asha import AshaOracle
from ktcomponent.oracles.bayesian_optimization import BayesianOptimizationOracle
from ktcomponent.oracles.choosing import AUTO, choose
from ktcomponent.oracles.grid_search import GridSearchOracle
from ktcomponent.oracles.hyperband import HyperbandOracle
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.random_search import RandomSearchOracle

BUILT_IN: dict[str, type[Oracle]] = {
    "Asha": AshaOracle,
    "BayesianOptimization": BayesianOptimizationOracle,
    "GridSearch": GridSearchOracle,
    "Hyperband": HyperbandOracle,
    "RandomSearch": RandomSearchOracle,
}


def class_name(oracle: Oracle) -> str:
    """The name under which a study keeps an oracle's class: the built-in one, else its import path."""
    for name, built_in in BUILT_IN.items():
        if type(oracle) is built_in:
            return name
    return f"{type(oracle).__module__}:{type(oracle).__qualname__}"


def _chosen_before(kept: Mapping[str, Any]) -> str:
    """What a specification without a class means where there is a study."""
    return AUTO if kept["class"] == "Asha" else str(kept["class"])


def create_oracle(
    spec: Mapping[str, Any],
    classes: Mapping[str, type[Oracle]] | None = None,
    hyperparameters: HyperParameters | None = None,
    kept: Mapping[str, Any] | None = None,
    known_space: HyperParameters | None = None,
) -> Oracle:
    """Makes an oracle from JSON such as `{"class": "RandomSearch", "objective": "val_auc", "max_trials": 60}`.

    Args:
        spec: "class" and constructor arguments. The class "auto", which is the default, is chosen by the other arguments: see
            `ktcomponent.oracles.choosing`.
        classes: Known classes by name; the built-in ones by default. A name that is read from storage is only
            ever looked up here, never imported.
        hyperparameters: The search space, which JSON arguments can't hold.
        kept: The configuration of the study's oracle, if there is a study; a chosen class doesn't change then.
        known_space: The search space that the program will declare, where that is known: it decides which class is chosen.

    Raises:
        ConfigurationError: If the class or an argument doesn't exist, or an argument can't be used.
    """
    classes = BUILT_IN if classes is None else classes
    arguments = dict(spec)
    name = str(arguments.pop("class", AUTO if kept is None else _chosen_before(kept)))
    reason = None
    if name == AUTO:
        choice = choose(arguments, hyperparameters or known_space, kept)
        name, arguments, reason = choice.name, choice.arguments, choice.reason
    cls = classes.get(name) or classes.get(name.removesuffix("Oracle"))
    if cls is None:
        raise ConfigurationError(
            f"There is no oracle {name!r}. Known oracles: {', '.join([AUTO, *sorted(classes)])}."
        )
    parameters = inspect.signature(cls).parameters
    accepted = [p for p in parameters if p != "hyperparameters"]
    unknown = sorted(set(arguments) - set(accepted))
    if unknown and all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
        raise ConfigurationError(
            f"The oracle {name} has no argument {', '.join(map(repr, unknown))}. It takes: {', '.join(accepted)}."
        )
    try:
        if hyperparameters is not None:
            arguments["hyperparameters"] = hyperparameters
        oracle = cls(**arguments)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ConfigurationError(f"The oracle {name} can't be made: {error}") from error
    oracle.chosen = reason
    return oracle
