"""As `keras_tuner.engine.hypermodel`."""

from ktcomponent.tuners.hypermodel import HyperModel

__all__ = ["HyperModel"]
