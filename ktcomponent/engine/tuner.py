"""As `keras_tuner.engine.tuner`."""

from ktcomponent.tuners.keras_support import maybe_distribute
from ktcomponent.tuners.tuner import Tuner

__all__ = ["Tuner", "maybe_distribute"]
