"""The first trials of a search: spread over the space, before there is anything to learn from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from ktcomponent.hyperparameters import Choice, Float, HyperParameter, Int, position
from ktcomponent.oracles.bayesian.model_space import ModelSpace

Array = npt.NDArray[np.float64]


def initial_point(space: ModelSpace, number: int, seed: int) -> Array:
    """The point of one of the first trials: an array (1, d).

    Trial 0 has the defaults that the user chose, the first value of categories, and the middle of every other domain.
    The others follow a scrambled Sobol sequence: A. B. Owen, "Scrambling Sobol' and Niederreiter-Xing Points", Journal
    of Complexity 14 (1998).

    Args:
        space: The search space as arrays.
        number: Which of them.
        seed: Decides the sequence.
    """
    if number == 0:
        at = [0.5 if _is_unchosen(hp) else position(hp, hp.default) for hp in space.tuned]
        return space.legal(np.array([at]))
    sequence = qmc.Sobol(space.dimensions, scramble=True, rng=np.random.default_rng((abs(seed), 7)))
    if number > 1:
        sequence.fast_forward(number - 1)
    return space.legal(np.asarray(sequence.random(1)))


def _is_unchosen(hp: HyperParameter) -> bool:
    """Whether nobody chose the default, as far as can be told: KerasTuner's configuration of a `Float` or a `Choice` says its
    lowest or first value where there is none."""
    if isinstance(hp, (Int, Float)):
        return hp._default is None or (isinstance(hp, Float) and hp._default == hp.min_value)
    return isinstance(hp, Choice) and hp.ordered and hp.default == hp.values[0]
