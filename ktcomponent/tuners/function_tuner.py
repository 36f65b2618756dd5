"""`FunctionTuner`: tunes a plain function, which may build a model or be the objective itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from ktcomponent.errors import FatalTypeError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.trial import Trial
from ktcomponent.tuners.continuing import ContinuingTuner
from ktcomponent.tuners.results import is_number

MODEL = "model"
BLACK_BOX = "black box"


class FunctionTuner(ContinuingTuner):
    """Tunes `build(hp) -> model` or `objective(hp, **kwargs) -> float | dict`.

    Which of the two it is shows the first time the function runs, in a claimed trial, and is kept in the
    study: a black box may be expensive and is never called just to see its hyperparameters.

    Args:
        oracle: See `BaseTuner`.
        function: The function.
        kwargs: See `Tuner`.
    """

    def __init__(self, oracle: Oracle, function: Callable[..., Any], **kwargs: Any) -> None:
        self.function = function
        self._kind: str | None = None
        # Hyperparameters of which a trial here has asked for the study's domain: what differs later depends on
        # other values.
        self._agreed: set[Any] = set()
        super().__init__(oracle, function, **kwargs)

    def _discover(self, config: dict[str, Any]) -> None:
        self._kind = config.get("kind")
        if self._kind == MODEL:
            super()._discover(config)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        if self._kind is None:
            self._kind = self._ledger.study.state.config.get("kind")
        if self._kind == MODEL:
            return super().run_trial(trial, *args, **kwargs)
        result = self._call(trial, args, kwargs)
        if self._kind is None:
            self._kind = MODEL if _is_keras_model(result) else BLACK_BOX
            if self._kind == MODEL:
                self._ledger.along.note("kind", MODEL)
                self._populate_initial_space()
                return super().run_trial(trial, *args, **kwargs)
        if not is_number(result) and not isinstance(result, dict):
            raise FatalTypeError(
                f"Expected {self.function.__name__}() to return a Keras model, a float or a dict with the objective. "
                f"Received: {result!r} of type {type(result).__name__}."
            )
        self._check_domains(trial.hyperparameters, self._agreed | self._dynamic(trial.hyperparameters))
        self._agreed |= trial.hyperparameters.asked
        self._ledger.along.note("kind", BLACK_BOX)
        return result

    def _dynamic(self, hp: HyperParameters) -> set[Any]:
        """Hyperparameters whose domain is known to depend on others; new ones are noted in the study."""
        names = set(self._ledger.study.state.config.get("dynamic", []))
        found = {old.name for old, _ in hp.redeclared if (old.name, tuple(old.conditions)) in self._agreed}
        if found - names:
            self._ledger.along.note("dynamic", sorted(names | found))
        return {key for key in hp.asked if key[0] in names}

    def _call(self, trial: Trial, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls the function with what was passed to `search`, if it takes that."""
        hp = trial.hyperparameters
        try:
            inspect.signature(self.function).bind(hp, *args, **kwargs)
        except (TypeError, ValueError):
            return self.function(hp)
        return self.function(hp, *args, **kwargs)


def _is_keras_model(result: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(result, keras.Model)
