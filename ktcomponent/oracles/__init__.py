"""Search algorithms: pure, with numpy and scipy at most."""

from ktcomponent.oracles.bayesian_optimization import BayesianOptimizationOracle
from ktcomponent.oracles.decision import synchronized
from ktcomponent.oracles.grid_search import GridSearchOracle
from ktcomponent.oracles.hyperband import HyperbandOracle
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.random_search import RandomSearchOracle

# The shorter names of the documentation.
BayesianOptimization = BayesianOptimizationOracle
GridSearch = GridSearchOracle
Hyperband = HyperbandOracle
RandomSearch = RandomSearchOracle

__all__ = [
    "BayesianOptimization",
    "BayesianOptimizationOracle",
    "GridSearch",
    "GridSearchOracle",
    "Hyperband",
    "HyperbandOracle",
    "Oracle",
    "RandomSearch",
    "RandomSearchOracle",
    "synchronized",
]
