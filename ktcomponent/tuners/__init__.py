"""Tuners: run the trials an oracle proposes."""

from ktcomponent.tuners.base_tuner import BaseTuner
from ktcomponent.tuners.random_search import RandomSearch
from ktcomponent.tuners.tuner import Tuner

__all__ = ["BaseTuner", "RandomSearch", "Tuner"]
