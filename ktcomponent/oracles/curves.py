"""How a training is likely to go on, by what it has reached so far.

A curve is taken to be a power law of the steps, `y(t) = a + b t^-c`, with noise (of the families in T. Domhan,
J. T. Springenberg, F. Hutter, "Speeding Up Automatic Hyperparameter Optimization of Deep Neural Networks by Extrapolation of
Learning Curves", IJCAI 2015, the one that fits by itself). For each `c` of a grid `a`, `b` and the noise have a conjugate prior
(normal, inverse gamma: C. M. Bishop, "Pattern Recognition and Machine Learning", 2006, section 3.3 and exercise 3.12), so what follows
is exact: Student's t for each `c`, weighted by the evidence for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy import special

EXPONENTS = np.geomspace(0.1, 3.0, 10)
WIDE = 10.0
"""Standard deviation of `a` and `b`, over that of the noise times `1 / NOISE`: nothing is known of them."""
NOISE, FIRM = 0.05, 1.0
"""Standard deviation of the noise that is thought of first, over the spread of values; and how firmly."""


def probability_below(curve: Mapping[int, float], steps: int, bound: float, spread: float) -> float:
    """How probable it is that a training ends below a bound.

    Args:
        curve: What it had reached after how many steps; smaller is better.
        steps: After how many it ends.
        bound: The bound.
        spread: How far values of trainings lie apart; the unit of what is thought of them first.
    """
    t = np.array(list(curve), float)
    shift = min(curve.values())
    y = (np.array(list(curve.values())) - shift) / spread
    prior = np.array([(NOISE / WIDE) ** 2] * 2)
    shape = FIRM + len(t) / 2.0
    evidence, below = [], []
    for c in EXPONENTS:
        X = np.stack([np.ones_like(t), t**-c], axis=1)
        precision = X.T @ X + np.diag(prior)
        mean = np.linalg.solve(precision, X.T @ y)
        rate = FIRM * NOISE**2 + 0.5 * float(y @ y - mean @ precision @ mean)
        evidence.append(-0.5 * np.linalg.slogdet(precision)[1] - shape * math.log(max(rate, 1e-300)))
        x = np.array([1.0, float(steps) ** -c])
        deviation = math.sqrt(rate / shape * (1.0 + float(x @ np.linalg.solve(precision, x))))
        below.append(special.stdtr(2.0 * shape, ((bound - shift) / spread - float(x @ mean)) / deviation))
    weights = special.softmax(np.array(evidence))
    return float(weights @ np.array(below))
