"""The search space: what can be tuned, and the values of one trial."""

from ktcomponent.hyperparameters.conditions import Condition, Parent
from ktcomponent.hyperparameters.container import HyperParameters
from ktcomponent.hyperparameters.types import Boolean, Choice, Fixed, Float, HyperParameter, Int, position

__all__ = [
    "Boolean",
    "Choice",
    "Condition",
    "Fixed",
    "Float",
    "HyperParameter",
    "HyperParameters",
    "Int",
    "Parent",
    "position",
]
