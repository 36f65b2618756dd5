"""Durable hyperparameter search for Keras, with KerasTuner's interface.

Names resolve lazily (PEP 562): importing the package loads neither TensorFlow nor Keras nor SciPy.
"""

import importlib
from typing import Any

from ktcomponent.version import __version__

_NAMES = {
    "Asha": "tuners",
    "BayesianOptimization": "tuners",
    "FailedTrialError": "errors",
    "FatalError": "errors",
    "FatalRuntimeError": "errors",
    "FatalTypeError": "errors",
    "FatalValueError": "errors",
    "GridSearch": "tuners",
    "HyperModel": "tuners.hypermodel",
    "HyperParameters": "hyperparameters",
    "Hyperband": "tuners",
    "Objective": "objective",
    "Oracle": "oracles",
    "RandomSearch": "tuners",
    "SklearnTuner": "tuners",
    "Trial": "trial",
    "TrialStatus": "trial",
    "Tuner": "tuners",
    "earlier_trials": "study.earlier",
    "synchronized": "oracles",
}
_MODULES = ("applications", "engine", "errors", "oracles", "tuners")

__all__ = ["__version__", *sorted(_NAMES)]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(f"ktcomponent.{_NAMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"ktcomponent.{name}")
    else:
        raise AttributeError(f"module 'ktcomponent' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_MODULES})
