"""Search algorithms: pure, with numpy and scipy at most."""

from ktcomponent.oracles.decision import synchronized
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.random_search import RandomSearchOracle

__all__ = ["Oracle", "RandomSearchOracle", "synchronized"]
