"""A Gaussian process: what is known of a function from some noisy values of it. Imports numpy and scipy.

Notation
    X   n points in d dimensions, one a row          y   their values, standardised to mean 0 and variance 1
    l   d length scales                              s   variance of the noise
    K   k(X, X) + s I                                a   K^-1 y

Kernel (Matern 5/2, C. E. Rasmussen and C. K. I. Williams, "Gaussian Processes for Machine Learning", 2006, eq. 4.17):
    r^2 = sum_k (x_k - x'_k)^2 / l_k^2       k = (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)

Length scales and noise are the most probable ones (maximum a posteriori) with independent log-normal priors, that of
a length scale growing with sqrt(d): C. Hvarfner, E. O. Hellsten, L. Nardi, "Vanilla Bayesian Optimization Performs
Great in High Dimensions", ICML 2024. Gradient of the log likelihood: Rasmussen and Williams, eq. 5.9.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize

Array = npt.NDArray[np.float64]

_SQRT5 = math.sqrt(5.0)
_NOISE_LOG_MEAN, _NOISE_LOG_STD = math.log(1e-3), 2.0


class GaussianProcess:
    """A fitted process.

    Args:
        X: Points, n rows of d coordinates.
        y: n values.
        noise: The least variance of the noise, relative to that of `y`.
    """

    def __init__(self, X: Array, y: Array, noise: float) -> None:
        self._floor = noise
        self._X = X
        self._mean = float(np.mean(y))
        self._scale = float(np.std(y)) or 1.0
        self._y = (y - self._mean) / self._scale
        d = X.shape[1]
        self._log_prior_mean = math.sqrt(2.0) + 0.5 * math.log(max(d, 1))
        squares = (X[:, None, :] - X[None, :, :]) ** 2
        start = np.append(np.full(d, self._log_prior_mean), _NOISE_LOG_MEAN)
        bounds = [(math.log(0.005), math.log(1e4))] * d + [(math.log(1e-8), 0.0)]
        starts = [start, np.append(np.full(d, math.log(0.3)), _NOISE_LOG_MEAN)][: 2 if len(X) < 60 else 1]
        found = [
            optimize.minimize(
                self._negative_log_posterior,
                s,
                args=(squares,),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 50},
            )
            for s in starts
        ]
        theta = min(found, key=lambda result: float(result.fun)).x
        self.length_scales: Array = np.exp(theta[:-1])
        self.noise = noise + math.exp(theta[-1])
        self._condition()

    def with_points(self, X: Array) -> GaussianProcess:
        """The process as if the function had, at more points, the values it is expected to have there.

        The mean stays what it is; the deviation near the points gets smaller (T. Desautels, A. Krause, J. W. Burdick,
        "Parallelizing Exploration-Exploitation Tradeoffs in Gaussian Process Bandit Optimization", JMLR 15 (2014)).
        """
        other: GaussianProcess = object.__new__(GaussianProcess)
        vars(other).update(vars(self))
        mean, _ = self.predict(X)
        other._X = np.vstack([self._X, X])
        other._y = np.append(self._y, (mean - self._mean) / self._scale)
        other._condition()
        return other

    def predict(self, X: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function at m points; two arrays of m numbers."""
        between = _matern(_squared_distances(X, self._X, self.length_scales))
        mean = between @ self._a
        half = linalg.solve_triangular(self._L, between.T, lower=True)
        variance = np.maximum(1.0 - np.sum(half**2, axis=0), 1e-12)
        return mean * self._scale + self._mean, np.sqrt(variance) * self._scale

    def _condition(self) -> None:
        K = _matern(_squared_distances(self._X, self._X, self.length_scales))
        self._L: Array = _cholesky(K + self.noise * np.eye(len(K)))
        self._a: Array = linalg.cho_solve((self._L, True), self._y)

    def _negative_log_posterior(self, theta: Array, squares: Array) -> tuple[float, Array]:
        n, d = len(self._y), len(theta) - 1
        inverse = np.exp(-2.0 * theta[:d])
        s = math.exp(theta[d])
        r = np.sqrt(squares @ inverse)
        falling = np.exp(-_SQRT5 * r)
        K = (1.0 + _SQRT5 * r + 5.0 / 3.0 * r**2) * falling + (s + self._floor) * np.eye(n)
        L = _cholesky(K)
        a = linalg.cho_solve((L, True), self._y)
        value = 0.5 * self._y @ a + np.sum(np.log(np.diag(L)))
        # d value / d theta_k = tr((K^-1 - a a^T) dK/d theta_k) / 2
        weights = linalg.cho_solve((L, True), np.eye(n)) - np.outer(a, a)
        slope = weights * (5.0 / 3.0) * (1.0 + _SQRT5 * r) * falling
        gradient = np.empty(d + 1)
        gradient[:d] = 0.5 * np.einsum("ij,ijk->k", slope, squares) * inverse
        gradient[d] = 0.5 * np.trace(weights) * s
        scales = (theta[:d] - self._log_prior_mean) / 3.0
        noise = (theta[d] - _NOISE_LOG_MEAN) / _NOISE_LOG_STD**2
        value += 0.5 * np.sum(scales * (theta[:d] - self._log_prior_mean))
        value += 0.5 * noise * (theta[d] - _NOISE_LOG_MEAN)
        gradient[:d] += scales
        gradient[d] += noise
        return float(value), gradient


def _squared_distances(A: Array, B: Array, length_scales: Array) -> Array:
    a, b = A / length_scales, B / length_scales
    squared: Array = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1)[None, :] - 2.0 * a @ b.T
    return np.maximum(squared, 0.0)


def _matern(squared: Any) -> Array:
    r = np.sqrt(squared)
    k: Array = (1.0 + _SQRT5 * r + 5.0 / 3.0 * squared) * np.exp(-_SQRT5 * r)
    return k


def _cholesky(K: Array) -> Array:
    """The lower factor; a matrix that rounding made singular gets more on its diagonal."""
    for jitter in (0.0, 1e-8, 1e-6, 1e-4):
        try:
            factor: Array = linalg.cholesky(K + jitter * np.eye(len(K)), lower=True)
        except linalg.LinAlgError:
            continue
        return factor
    raise linalg.LinAlgError("the covariance matrix is not positive definite")
