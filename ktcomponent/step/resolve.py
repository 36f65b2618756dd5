"""User code by import path, made into a tuner and its search arguments.

Import paths come from the command line and never from storage.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import Any

from ktcomponent.errors import ConfigurationError, FatalError, KtcomponentError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.objective import create_objective
from ktcomponent.oracles.earlier import Warmed
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.registry import BUILT_IN, class_name, create_oracle
from ktcomponent.step import source
from ktcomponent.step.plan import Plan
from ktcomponent.study.binding import kept_oracle
from ktcomponent.study.earlier import earlier_trials
from ktcomponent.study.state import StudyState
from ktcomponent.tuners.base_tuner import BaseTuner
from ktcomponent.tuners.continuing import ContinuingTuner
from ktcomponent.tuners.function_tuner import FunctionTuner
from ktcomponent.tuners.hypermodel import HyperModel


def load_object(path: str, option: str) -> Any:
    """What an import path such as `churn.model:build` names.

    Args:
        path: The import path; the working directory is searched too.
        option: Where it was given, for messages.

    Raises:
        ConfigurationError: If it can't be imported.
    """
    module_name, colon, name = path.partition(":")
    if not colon or not module_name or not name:
        raise ConfigurationError(f"{option} {path!r} is no import path. Expected `package.module:name`.")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = source.load() if module_name == source.MODULE else importlib.import_module(module_name)
    except KtcomponentError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{option} {path!r} can't be imported: {type(error).__name__}: {error}. Is its folder the working "
            "directory, in PYTHONPATH, or installed?"
        ) from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ConfigurationError(
                f"{option} {path!r}: the module {module_name} has no {name!r}."
            ) from None
    return found


def load_search_arguments(plan: Plan) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `search`.

    Raises:
        ConfigurationError: If the function can't be imported, or returns something else than a tuple of
            positional and a dict of keyword arguments.
    """
    if plan.search_args is None:
        return (), dict(plan.search_kwargs)
    function = load_object(plan.search_args, "--search-args")
    if not callable(function):
        raise ConfigurationError(f"--search-args {plan.search_args!r} is no function.")
    result = function()
    match result:
        case (tuple() | list()) as args, dict() as kwargs:
            return tuple(args), {**kwargs, **plan.search_kwargs}
    raise ConfigurationError(
        f"--search-args {plan.search_args!r} must return a tuple (args, kwargs), for example "
        f"`(x, y), {{'epochs': 3}}`; it returned {type(result).__name__}."
    )


def make_oracle(plan: Plan, state: StudyState | None, hypermodel: HyperModel | None = None) -> Oracle:
    """The oracle that the plan asks for, else the study's.

    Args:
        plan: The plan.
        state: The study's state, if there is a study.
        hypermodel: What will declare the search space, where that can be known without a training.

    Raises:
        ConfigurationError: If neither says which.
    """
    if plan.oracle is not None:
        name = str(plan.oracle.get("class", ""))
        if ":" in name:
            cls = load_object(name, "--oracle")
            if not (isinstance(cls, type) and issubclass(cls, Oracle)):
                raise ConfigurationError(f"The oracle {name!r} is no subclass of ktcomponent.Oracle.")
            if plan.warm_start and state is None:
                raise ConfigurationError(
                    f"The oracle {name!r} can't begin with earlier trials: leave --warm-start out."
                )
            return create_oracle(plan.oracle, {name: cls})
        if state is None:
            return create_oracle(_warmed(plan), known_space=_space_of(hypermodel))
        kept = state.config["oracle"]
        earlier = {"earlier": kept["earlier"]} if kept.get("earlier") else {}
        return create_oracle({**plan.oracle, **earlier}, kept=kept)
    if state is not None:
        kept = state.config["oracle"]
        if kept["class"] in BUILT_IN:
            return kept_oracle(state)
        raise ConfigurationError(
            f"The study has the oracle {kept['class']}, which is not a built-in one: name it with --oracle."
        )
    raise ConfigurationError(
        'There is no study yet, so --oracle must say how to search, for example {"objective": "val_loss", '
        '"max_trials": 20}.'
    )


def _space_of(hypermodel: HyperModel | None) -> HyperParameters | None:
    """The search space that a hypermodel declares with default values; None where some of it depends on others."""
    if hypermodel is None:
        return None
    hp = HyperParameters()
    try:
        hypermodel.declare_hyperparameters(hp)
        hypermodel.build(hp)
    except FatalError:
        raise
    except Exception:  # noqa: BLE001 - the tuner says what is wrong
        return None
    return None if hp.inactive_scopes else hp


def _warmed(plan: Plan) -> dict[str, Any]:
    """The oracle's specification, with what earlier studies found."""
    assert plan.oracle is not None
    if not plan.warm_start:
        return plan.oracle
    oracle = create_oracle(plan.oracle)
    if not isinstance(oracle, Warmed) or getattr(oracle, "sampler", "bayesian") != "bayesian":
        raise ConfigurationError(
            f"The oracle {class_name(oracle)} can't begin with earlier trials: take BayesianOptimization, or Asha or Hyperband with "
            '"sampler": "bayesian", or leave --warm-start out.'
        )
    found = earlier_trials(
        plan.warm_start, create_objective(plan.oracle.get("objective")), **plan.storage_options
    )
    return {**plan.oracle, **({"earlier": found} if found else {})}


def make_tuner(plan: Plan, state: StudyState | None) -> BaseTuner:
    """The tuner for what `--hypermodel` names. To be called inside `hosting`.

    Raises:
        ConfigurationError: If it names nothing that can be tuned.
    """
    if plan.warm_start and plan.oracle is None and state is None:
        raise ConfigurationError("--warm-start needs --oracle, which says how a new study is searched.")
    named = load_object(plan.hypermodel, "--hypermodel")
    if isinstance(named, type) and issubclass(named, BaseTuner):
        return _tuner_of_class(named, make_oracle(plan, state))
    if isinstance(named, type) and issubclass(named, HyperModel):
        if not _needs_no_argument(named):
            raise ConfigurationError(
                f"--hypermodel {plan.hypermodel!r} is a class that needs arguments. Name an instance of it, or a "
                "function that makes the tuner."
            )
        named = named()
    if isinstance(named, HyperModel):
        return ContinuingTuner(make_oracle(plan, state, named), named)
    if not callable(named) or isinstance(named, type):
        raise ConfigurationError(
            f"--hypermodel {plan.hypermodel!r} is a {type(named).__name__}. Expected a function, a HyperModel or a "
            "Tuner class."
        )
    if _takes_nothing(named):
        tuner = named()
        if not isinstance(tuner, BaseTuner):
            raise ConfigurationError(
                f"--hypermodel {plan.hypermodel!r} takes no hyperparameters, so it must return a Tuner; it returned "
                f"{type(tuner).__name__}."
            )
        return tuner
    return FunctionTuner(make_oracle(plan, state), named)


def _tuner_of_class(cls: type[BaseTuner], oracle: Oracle) -> BaseTuner:
    try:
        inspect.signature(cls).bind(oracle=oracle)
    except TypeError as error:
        raise ConfigurationError(
            f"The tuner {cls.__name__} can't be made from an oracle alone ({error}). Name a function that makes it."
        ) from error
    return cls(oracle=oracle)


def _needs_no_argument(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not p.empty or p.kind in optional for p in parameters)


def _takes_nothing(function: Any) -> bool:
    try:
        return not inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
