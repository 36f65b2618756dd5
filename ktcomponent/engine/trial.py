"""As `keras_tuner.engine.trial`."""

from ktcomponent.trial import Trial, TrialStatus

__all__ = ["Trial", "TrialStatus"]
