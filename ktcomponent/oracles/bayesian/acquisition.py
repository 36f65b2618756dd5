"""How much a trial at a point is worth, by a model's mean `m` and deviation `s` there; larger is better."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]

FAR = 1e4
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


def log_expected_improvement(m: Array, s: Array, best: float) -> tuple[Array, Array, Array]:
    """Logarithm of the expected improvement on `best`, where smaller is better.

        EI = s h(z), h(z) = phi(z) + z Phi(z), z = (best - m) / s

    Computed so that it neither vanishes nor cancels far from the best: S. Ament, S. Daulton, D. Eriksson, M. Balandat,
    E. Bakshy, "Unexpected Improvements to Expected Improvement for Bayesian Optimization", NeurIPS 2023, eq. 9.

    Returns:
        Its values, and its derivatives by m and by s; three arrays.
    """
    z = (best - m) / s
    log_h = _log_h(z)
    # d log h / dz = Phi(z) / h(z), which far away is -z to all digits that their difference has left.
    slope = np.where(z < -FAR, -z, np.exp(special.log_ndtr(z) - log_h))
    return log_h + np.log(s), -slope / s, (1.0 - slope * z) / s


def lower_confidence_bound(m: Array, s: Array, beta: float) -> tuple[Array, Array, Array]:
    """`-(m - beta s)`, with its derivatives by m and s.

    N. Srinivas, A. Krause, S. M. Kakade, M. Seeger, "Gaussian Process Optimization in the Bandit Setting", ICML 2010.
    """
    return beta * s - m, np.full_like(m, -1.0), np.full_like(s, beta)


def _log_h(z: Array) -> Array:
    """log(phi(z) + z Phi(z))."""
    out = np.empty_like(z)
    near = z > -1.0
    out[near] = np.log(np.exp(-0.5 * z[near] ** 2 - _LOG_SQRT_2PI) + z[near] * special.ndtr(z[near]))
    t = -z[~near]
    # h = phi(z) (1 - t Phi(-t) / phi(t)), and Phi(-t) / phi(t) = sqrt(pi/2) erfcx(t / sqrt 2)
    ratio = 1.0 - t * math.sqrt(math.pi / 2.0) * special.erfcx(t / math.sqrt(2.0))
    far = t > FAR  # there the ratio is 1/t^2 to all digits
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.where(far, -2.0 * np.log(t), np.log(np.maximum(ratio, 1e-300)))
    out[~near] = -0.5 * t**2 - _LOG_SQRT_2PI + tail
    return out
