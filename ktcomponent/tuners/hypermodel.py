"""`HyperModel`: what builds and fits a model from hyperparameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters


class HyperModel:
    """A search space of models.

    Args:
        name: For messages.
        tunable: Whether its hyperparameters are tuned; else they keep their defaults.

    Attributes:
        resumable: Says of an overridden `fit` that it calls `model.fit` once, with all callbacks it is given and no
            others that keep state, so that a training can go on in it from a checkpoint.
    """

    resumable = False

    def __init__(self, name: str | None = None, tunable: bool = True) -> None:
        self.name = name
        self.tunable = tunable
        self._build = self.build
        self.build = self._build_wrapper  # type: ignore[method-assign]

    def build(self, hp: HyperParameters) -> Any:
        """Builds a compiled model from the values in `hp`."""
        raise NotImplementedError

    def declare_hyperparameters(self, hp: HyperParameters) -> None:
        """Declares hyperparameters before the first build; optional."""

    def fit(self, hp: HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Trains a model.

        Args:
            hp: The trial's values.
            model: What `build` returned.
            args, kwargs: What was passed to `Tuner.search`; the callbacks among them must reach `model.fit`.

        Returns:
            A Keras `History`, a dict of metrics, a float, or a list of those.
        """
        del hp
        return model.fit(*args, **kwargs)

    def _build_wrapper(self, hp: HyperParameters, *args: Any, **kwargs: Any) -> Any:
        if not self.tunable:
            # What is declared now is forgotten, so the defaults are used.
            hp = hp.copy()
        return self._build(hp, *args, **kwargs)


class FunctionHyperModel(HyperModel):
    """A function `build(hp) -> model` as a hypermodel."""

    def __init__(self, function: Callable[[HyperParameters], Any]) -> None:
        super().__init__(name=getattr(function, "__name__", None))
        self.function = function

    def _build_wrapper(self, hp: HyperParameters, *args: Any, **kwargs: Any) -> Any:
        return self.function(hp, *args, **kwargs)


def get_hypermodel(hypermodel: Any) -> HyperModel | None:
    """A `HyperModel` as it is, a function as one.

    Raises:
        ConfigurationError: If it is neither.
    """
    if hypermodel is None or isinstance(hypermodel, HyperModel):
        return hypermodel
    if not callable(hypermodel):
        raise ConfigurationError(
            "The `hypermodel` should be a `HyperModel` or a function that takes hyperparameters and returns a "
            f"model, got {hypermodel!r}."
        )
    return FunctionHyperModel(hypermodel)
