"""As `keras_tuner.engine.hyperparameters`."""

from ktcomponent.hyperparameters import Boolean, Choice, Fixed, Float, HyperParameter, HyperParameters, Int
from ktcomponent.hyperparameters.types import deserialize, serialize

__all__ = [
    "Boolean",
    "Choice",
    "Fixed",
    "Float",
    "HyperParameter",
    "HyperParameters",
    "Int",
    "deserialize",
    "serialize",
]
