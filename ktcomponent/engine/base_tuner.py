"""As `keras_tuner.engine.base_tuner`."""

from ktcomponent.tuners.base_tuner import BaseTuner

__all__ = ["BaseTuner"]
