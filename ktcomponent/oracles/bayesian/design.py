"""The first trials of a search: spread over the space, before there is anything to learn from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import qmc

from ktcomponent.hyperparameters import position
from ktcomponent.oracles.bayesian.model_space import ModelSpace

Array = npt.NDArray[np.float64]


def initial_point(space: ModelSpace, number: int, seed: int) -> Array:
    """The point of one of the first trials: an array (1, d).

    Trial 0 has the defaults that the user chose, and the middle of every other domain. The others follow a scrambled
    Sobol sequence: A. B. Owen, "Scrambling Sobol' and Niederreiter-Xing Points", Journal of Complexity 14 (1998).

    Args:
        space: The search space as arrays.
        number: Which of them.
        seed: Decides the sequence.
    """
    if number == 0:
        at = [0.5 if hp._default is None else position(hp, hp.default) for hp in space.tuned]
        return space.legal(np.array([at]))
    sequence = qmc.Sobol(space.dimensions, scramble=True, rng=np.random.default_rng((abs(seed), 7)))
    if number > 1:
        sequence.fast_forward(number - 1)
    return space.legal(np.asarray(sequence.random(1)))
