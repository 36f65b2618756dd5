"""What the benchmarks tune."""

import math
import random
import time

from ktcomponent import HyperParameters
from ktcomponent.engine.base_tuner import BaseTuner


def no_op(hp):
    """Eight hyperparameters and nothing to do."""
    for n in range(6):
        hp.Float(f"float_{n}", 1e-4, 1e-1, sampling="log")
    hp.Int("int", 1, 1000)
    hp.Choice("choice", ["a", "b", "c"])
    return hp.get("float_0")


def nothing(hp):
    """One hyperparameter, one value."""
    hp.Float("x", 0, 1)
    return 0.0


def sleep_s(number):
    """How long a trial sleeps, in seconds: log-normal, most 2 to 6, and always the same for the same trial."""
    return min(max(3.5 * math.exp(random.Random(number).gauss(0, 0.5)), 1.0), 12.0)


class Sleeping(BaseTuner):
    """A trial of its own length for each point of a grid, which is known from the start, as that of a model is."""

    def __init__(self, oracle):
        hp = HyperParameters()
        hp.Int("number", 0, 319)
        oracle.update_space(hp)
        super().__init__(oracle)

    def run_trial(self, trial):
        number = trial.hyperparameters.get("number")
        time.sleep(sleep_s(number))
        return float(number)
