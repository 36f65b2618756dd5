"""Search algorithms: pure, with numpy and scipy at most."""

from ktcomponent.oracles.asha import AshaOracle
from ktcomponent.oracles.bayesian_optimization import BayesianOptimizationOracle
from ktcomponent.oracles.decision import synchronized
from ktcomponent.oracles.grid_search import GridSearchOracle
from ktcomponent.oracles.hyperband import HyperbandOracle
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.random_search import RandomSearchOracle
from ktcomponent.oracles.stopping import AshaRule, CurveRule, MedianRule, StoppingRule

# The shorter names of the documentation.
Asha = AshaOracle
BayesianOptimization = BayesianOptimizationOracle
GridSearch = GridSearchOracle
Hyperband = HyperbandOracle
RandomSearch = RandomSearchOracle

__all__ = [
    "Asha",
    "AshaOracle",
    "AshaRule",
    "BayesianOptimization",
    "BayesianOptimizationOracle",
    "CurveRule",
    "GridSearch",
    "GridSearchOracle",
    "Hyperband",
    "HyperbandOracle",
    "MedianRule",
    "Oracle",
    "RandomSearch",
    "RandomSearchOracle",
    "StoppingRule",
    "synchronized",
]
