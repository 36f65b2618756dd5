"""Tuners: run the trials an oracle proposes."""

from ktcomponent.tuners.asha import Asha
from ktcomponent.tuners.base_tuner import BaseTuner
from ktcomponent.tuners.bayesian_optimization import BayesianOptimization
from ktcomponent.tuners.grid_search import GridSearch
from ktcomponent.tuners.hyperband import Hyperband
from ktcomponent.tuners.random_search import RandomSearch
from ktcomponent.tuners.sklearn_tuner import SklearnTuner
from ktcomponent.tuners.tuner import Tuner

__all__ = [
    "Asha",
    "BaseTuner",
    "BayesianOptimization",
    "GridSearch",
    "Hyperband",
    "RandomSearch",
    "SklearnTuner",
    "Tuner",
]
