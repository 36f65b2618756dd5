"""As `keras_tuner.engine.oracle`."""

from ktcomponent.objective import Objective
from ktcomponent.oracles import Oracle, synchronized

__all__ = ["Objective", "Oracle", "synchronized"]
