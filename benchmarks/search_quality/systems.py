"""Every system behind one interface: propose values, be told what they are worth."""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.search_quality.space import Dimension, declare

Values = dict[str, Any]


Asked = list[tuple[Any, Values]]
"""Of each trial a handle, and values of all active hyperparameters."""


class System(Protocol):
    """One search."""

    def ask(self, count: int) -> Asked:
        """So many trials that will run at once."""

    def tell(self, handle: Any, values: Values, loss: float | None) -> None:
        """What it was worth, smaller is better; None where it failed."""


def far_apart(seed: int, package: str) -> int:
    """The seed that a package's oracle is given.

    KerasTuner draws its n-th value with the seed plus n, so searches with seeds in a row soon fall into step; and 0 is no
    seed to it.
    """
    return 1 + 1_000_000 * seed if package == "keras_tuner" else seed


class _Oracle:
    """An oracle with KerasTuner's interface, in memory: ours, or KerasTuner's own.

    Args:
        package, oracles: The module with `HyperParameters` and `Objective`, and the one with oracles.
        more: More arguments of the oracle.
    """

    def __init__(
        self,
        space: Sequence[Dimension],
        seed: int,
        trials: int,
        name: str,
        package: str,
        oracles: str,
        **more: Any,
    ) -> None:
        module = importlib.import_module(package)
        hp = module.HyperParameters()
        declare(space, hp)
        self._oracle = getattr(importlib.import_module(oracles), name)(
            objective=module.Objective("loss", "min"),
            max_trials=trials,
            hyperparameters=hp,
            seed=far_apart(seed, package),
            max_consecutive_failed_trials=trials + 1,
            **more,
        )
        self._oracle.verbose = 0
        self._folder = tempfile.TemporaryDirectory()
        if hasattr(self._oracle, "_set_project_dir"):
            self._oracle._set_project_dir(self._folder.name, "search")  # KerasTuner's writes each trial
        self._number = 0

    def ask(self, count: int) -> Asked:
        return [self._one() for _ in range(count)]

    def _one(self) -> tuple[Any, Values]:
        self._number += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._oracle.create_trial(f"tuner{self._number}")
        if trial.status != "RUNNING":
            raise RuntimeError(f"status {trial.status}")
        return trial, dict(trial.hyperparameters.values)

    def tell(self, handle: Any, values: Values, loss: float | None) -> None:
        del values
        if loss is None:
            handle.status = "FAILED"
        else:
            self._oracle.update_trial(handle.trial_id, {"loss": loss})
            handle.status = "COMPLETED"
        self._oracle.end_trial(handle)


class _Optuna:
    def __init__(self, space: Sequence[Dimension], seed: int, sampler: Callable[[Any, int], Any]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        self._space = space
        self._study = optuna.create_study(sampler=sampler(optuna, seed))

    def ask(self, count: int) -> Asked:
        return [self._one() for _ in range(count)]

    def _one(self) -> tuple[Any, Values]:
        trial = self._study.ask()
        values: Values = {}
        for d in self._space:
            if not d.is_active(values):
                continue
            if d.choices:
                values[d.name] = trial.suggest_categorical(d.name, list(d.choices))
            elif d.whole:
                values[d.name] = trial.suggest_int(d.name, int(d.low), int(d.high), log=d.log)
            else:
                values[d.name] = trial.suggest_float(d.name, d.low, d.high, log=d.log)
        return trial, values

    def tell(self, handle: Any, values: Values, loss: float | None) -> None:
        del values
        import optuna

        if loss is None:
            self._study.tell(handle, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(handle, loss)


class _Ax:
    """BoTorch, as Ax chooses it. It knows no conditions here: all hyperparameters are always proposed."""

    def __init__(self, space: Sequence[Dimension], seed: int) -> None:
        import logging

        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        import torch
        from ax.api.client import Client
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self._space = space
        self._client = Client(random_seed=seed)
        parameters: list[Any] = []
        for d in space:
            if d.choices:
                parameters.append(
                    ChoiceParameterConfig(
                        name=d.name, values=list(d.choices), parameter_type="str", is_ordered=False
                    )
                )
            else:
                kind, number = ("int", int) if d.whole else ("float", float)
                parameters.append(
                    RangeParameterConfig(
                        name=d.name,
                        bounds=(number(d.low), number(d.high)),
                        parameter_type=kind,
                        scaling="log" if d.log else None,
                    )
                )
        self._client.configure_experiment(parameters=parameters)
        self._client.configure_optimization(objective="-loss")

    def ask(self, count: int) -> Asked:
        asked: Asked = []
        while len(asked) < count:  # of its first trials it gives no more than it has left
            more = self._client.get_next_trials(max_trials=count - len(asked))
            asked += [(index, _active(self._space, values)) for index, values in more.items()]
        return asked

    def tell(self, handle: Any, values: Values, loss: float | None) -> None:
        del values
        if loss is None:
            self._client.mark_trial_failed(handle)
        else:
            self._client.complete_trial(handle, raw_data={"loss": loss})


class _Hebo:
    """It knows no conditions: all hyperparameters are always proposed. Failed trials are dropped by it."""

    def __init__(self, space: Sequence[Dimension], seed: int) -> None:
        warnings.simplefilter("ignore")
        import numpy as np
        import torch
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        np.random.seed(seed)
        self._space = space
        told = []
        for d in space:
            if d.choices:
                told.append({"name": d.name, "type": "cat", "categories": list(d.choices)})
            else:
                kind = ("pow_int" if d.log else "int") if d.whole else ("pow" if d.log else "num")
                told.append({"name": d.name, "type": kind, "lb": d.low, "ub": d.high})
        self._search = HEBO(DesignSpace().parse(told), scramble_seed=seed)

    def ask(self, count: int) -> Asked:
        rows = self._search.suggest(n_suggestions=count)
        asked: Asked = []
        for i in range(count):
            values = rows.iloc[i].to_dict()
            for d in self._space:
                if d.whole:
                    values[d.name] = int(values[d.name])
            asked.append((rows.iloc[[i]], _active(self._space, values)))
        return asked

    def tell(self, handle: Any, values: Values, loss: float | None) -> None:
        del values
        import numpy as np

        self._search.observe(handle, np.array([[np.nan if loss is None else loss]]))


class _Smac:
    def __init__(self, space: Sequence[Dimension], seed: int, trials: int) -> None:
        import logging

        logging.disable(logging.WARNING)
        warnings.simplefilter("ignore")
        import ConfigSpace
        from smac import HyperparameterOptimizationFacade, Scenario

        configurations = ConfigSpace.ConfigurationSpace(seed=seed)
        for d in space:
            if d.choices:
                made: Any = ConfigSpace.CategoricalHyperparameter(d.name, list(d.choices))
            elif d.whole:
                made = ConfigSpace.UniformIntegerHyperparameter(d.name, int(d.low), int(d.high), log=d.log)
            else:
                made = ConfigSpace.UniformFloatHyperparameter(d.name, d.low, d.high, log=d.log)
            configurations.add(made)
            if d.parent:
                name, choices = d.parent
                configurations.add(ConfigSpace.InCondition(made, configurations[name], list(choices)))
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            configurations,
            deterministic=True,
            n_trials=trials,
            seed=seed,
            output_directory=Path(self._folder.name),
        )
        self._worst: float | None = None
        self._crashed: list[Any] = []
        self._search = HyperparameterOptimizationFacade(scenario, _never, overwrite=True)

    def ask(self, count: int) -> Asked:
        asked = [self._search.ask() for _ in range(count)]
        return [(info, dict(info.config)) for info in asked]

    def tell(self, handle: Any, values: Values, loss: float | None) -> None:
        del values
        from smac.runhistory import StatusType, TrialValue

        if loss is None:
            self._crashed.append(handle)
        else:
            self._worst = loss if self._worst is None else max(self._worst, loss)
            self._search.tell(handle, TrialValue(loss))
        if self._worst is not None:  # its forest takes no infinity, which is what it would make of a crash
            while self._crashed:
                self._search.tell(self._crashed.pop(0), TrialValue(self._worst, status=StatusType.CRASHED))


def _never(config: Any, seed: int = 0) -> float:
    """What SMAC would call, were it not asked and told."""
    raise NotImplementedError


def _active(space: Sequence[Dimension], values: Values) -> Values:
    """Of values of all hyperparameters, those of active ones."""
    found: Values = {}
    for d in space:
        if d.is_active(found):
            found[d.name] = values[d.name]
    return found


LATE = 10
"""So many trials at the end come from a model that is asked late, to see what it costs to know many trials."""
OURS = "ktcomponent", "ktcomponent.oracles"
KERAS_TUNER = "keras_tuner", "keras_tuner.oracles"

SYSTEMS: dict[str, Callable[[Sequence[Dimension], int, int], System]] = {
    "ours": lambda *search: _Oracle(*search, "BayesianOptimizationOracle", *OURS),
    "ours-late": lambda space, seed, trials: _Oracle(
        space, seed, trials, "BayesianOptimizationOracle", *OURS, num_initial_points=max(trials - LATE, 1)
    ),
    "random": lambda *search: _Oracle(*search, "RandomSearchOracle", *OURS),
    "keras-tuner": lambda *search: _Oracle(*search, "BayesianOptimizationOracle", *KERAS_TUNER),
    "optuna-tpe": lambda space, seed, _: _Optuna(
        space,
        seed,
        lambda optuna, s: optuna.samplers.TPESampler(
            seed=s, multivariate=True, group=True, constant_liar=True
        ),
    ),
    "optuna-cmaes": lambda space, seed, _: _Optuna(
        space,
        seed,
        lambda optuna, s: optuna.samplers.CmaEsSampler(seed=s, warn_independent_sampling=False),
    ),
    "ax": lambda space, seed, _: _Ax(space, seed),
    "hebo": lambda space, seed, _: _Hebo(space, seed),
    "smac": lambda *search: _Smac(*search),
    "optuna-gp": lambda space, seed, _: _Optuna(
        space, seed, lambda optuna, s: optuna.samplers.GPSampler(seed=s)
    ),
}
