"""A Gaussian process: what is known of a function from some noisy values of it.

Notation
    Z   n points as features, one a row      D_k(x, y)   squared distance of two points in the features of weight k
    y   their n values                       l_k         length scale of weight k, K of them
    s2  variance of the function             n2          variance of the noise
    R   k(Z, Z) + n2 I = L L^T               a           R^-1 (y - mean)

Kernel (Matern 5/2, C. E. Rasmussen and C. K. I. Williams, "Gaussian Processes for Machine Learning", 2006, eq. 4.17):
    r^2 = sum_k D_k / l_k^2       k = s2 (1 + sqrt(5) r + 5/3 r^2) exp(-sqrt(5) r)

The mean is a constant, estimated by generalised least squares (ibid., eq. 2.45 with one basis function). The scales
are the most probable ones (maximum a posteriori) under independent priors of their logarithms, the length scales'
growing with sqrt(K) as in C. Hvarfner, E. O. Hellsten, L. Nardi, "Vanilla Bayesian Optimization Performs Great in
High Dimensions", ICML 2024, but narrower, since a search has few trials. Gradient of the likelihood: Rasmussen and Williams, eq. 5.9.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize

Array = npt.NDArray[np.float64]

SQRT5 = math.sqrt(5.0)
NUMBER, OTHER, STEADY = 0.4, 0.8, 4.0
"""Median of a number's length scale, of a category's or a condition's, and of epochs trained, over sqrt(K)."""
NOISE, NOISE_IN_RUNGS = -6.0, -4.0
"""Median of the logarithm of the noise's variance; its standard deviation is 1. Few trials can't tell noise from a function that is not
understood yet: what is taken for noise is not looked into."""
MOST_JITTERED = 30
"""So often a tenfold diagonal is tried."""
SPREAD = 0.35
"""Standard deviation of the logarithm of a length scale."""
BOUNDS_L, BOUNDS_S2, BOUNDS_N2 = (0.01, 300.0), (0.05, 30.0), (1e-6, 2.0)
MOST_STEPS = 60


@dataclasses.dataclass(frozen=True)
class Scales:
    """Of a process: K length scales, the variance of the function, that of the noise."""

    lengths: Array
    s2: float
    n2: float


class Prior:
    """What is thought of scales before any trial, and how they follow from trials.

    Args:
        groups: For each feature, the number of its weight.
        is_number: For each weight, whether it belongs to a number.
        least_noise: The least variance of the noise, of values with variance 1.
        steady: The number of a weight in which little is thought to change.
    """

    def __init__(
        self,
        groups: npt.NDArray[np.int64],
        is_number: npt.NDArray[np.bool_],
        least_noise: float = 0.0,
        steady: int | None = None,
    ) -> None:
        self.groups = groups
        medians = np.where(is_number, NUMBER, OTHER)
        if steady is not None:
            medians[steady] = STEADY
        self.centre = np.log(medians * math.sqrt(max(len(is_number), 1)))
        self._noise_centre = NOISE if steady is None else NOISE_IN_RUNGS
        low, high = BOUNDS_N2
        self._noise = min(max(low, least_noise), high), high

    def fit(self, Z: Array, y: Array) -> Scales:
        """The most probable scales, for values of mean 0 and variance 1."""
        start = np.array([*self.centre, 0.0, -4.0])
        bounds = [BOUNDS_L] * len(self.centre) + [BOUNDS_S2, self._noise]
        logs = [(math.log(low), math.log(high)) for low, high in bounds]
        start = np.clip(start, *np.transpose(logs))
        found = optimize.minimize(
            self.negative_log_posterior,
            start,
            args=(Z, y),
            jac=True,
            method="L-BFGS-B",
            bounds=logs,
            options={"maxiter": MOST_STEPS, "ftol": 1e-6},
        )
        theta = found.x if np.all(np.isfinite(found.x)) else start
        return Scales(np.exp(theta[:-2]), math.exp(theta[-2]), math.exp(theta[-1]))

    def negative_log_posterior(self, theta: Array, Z: Array, y: Array) -> tuple[float, Array]:
        """Of logarithms of scales, up to a constant; with its gradient.

        Args:
            theta: K + 2 logarithms: length scales, s2, n2.
            Z, y: What was observed.
        """
        lengths, s2, n2 = np.exp(theta[:-2]), math.exp(theta[-2]), math.exp(theta[-1])
        n = len(y)
        scaled = Z / lengths[self.groups]
        r = np.sqrt(squared_distances(scaled, scaled))
        decay = np.exp(-SQRT5 * r)
        slope = (5.0 / 3.0) * (1.0 + SQRT5 * r) * decay  # of the correlation, by -r^2 / 2
        correlation = (1.0 + SQRT5 * r + (5.0 / 3.0) * r**2) * decay
        R = s2 * correlation
        R.flat[:: n + 1] += n2
        try:
            L = linalg.cholesky(R, lower=True, check_finite=False)
        except linalg.LinAlgError:
            return 1e25, np.zeros_like(theta)
        inverse, _ = linalg.lapack.dpotri(L, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        ones = inverse.sum(axis=1)
        mean = float(ones @ y / ones.sum())
        a = inverse @ (y - mean)
        value = 0.5 * float((y - mean) @ a) + float(np.log(np.diag(L)).sum())
        # d value / d R = (R^-1 - a a^T) / 2; the mean is at its optimum, so it adds nothing.
        by_R = 0.5 * (inverse - np.outer(a, a))
        G = by_R * slope * s2
        by_feature = 2.0 * (G.sum(axis=1) @ scaled**2 - np.einsum("if,if->f", scaled, G @ scaled))
        # r^2 falls by 2 D / l^2 with ln l, and R by slope * s2 / 2 times that.
        gradient = np.empty_like(theta)
        gradient[:-2] = np.bincount(self.groups, by_feature, minlength=len(lengths))
        gradient[-2] = s2 * float(np.sum(by_R * correlation))
        gradient[-1] = n2 * float(np.trace(by_R))
        off = theta[:-2] - self.centre
        value += float(np.sum(off**2)) / (2.0 * SPREAD**2) + theta[-2] ** 2 / 2.0
        value += (theta[-1] - self._noise_centre) ** 2 / 2.0 + theta[-1]
        gradient[:-2] += off / SPREAD**2
        gradient[-2] += theta[-2]
        gradient[-1] += theta[-1] - self._noise_centre + 1.0
        return value, gradient


class GaussianProcess:
    """A process with known scales.

    It grows by rows: `add` extends the factor L instead of starting anew, and gives the same to the last bit whether
    the points come in one process or, one after another, in another.

    Args:
        groups: For each feature, the number of its weight.
        scales: Length scales and variances.
    """

    def __init__(self, groups: npt.NDArray[np.int64], scales: Scales) -> None:
        self.scales = scales
        self._inverse_lengths = 1.0 / scales.lengths[groups]
        self._X = np.zeros((0, len(groups)))
        self._L = np.zeros((0, 0))
        self._a = np.zeros(0)
        self.mean = 0.0

    def __len__(self) -> int:
        return len(self._X)

    def copy(self) -> GaussianProcess:
        other = object.__new__(GaussianProcess)
        vars(other).update(vars(self))
        return other

    def add(self, Z: Array, noise: float | None = None) -> None:
        """More points, whose values are not known yet.

        Args:
            Z: Their features.
            noise: Variance of the noise of their values; that of the scales by default.
        """
        X = Z * self._inverse_lengths
        R = self._kernel(X, X)
        R.flat[:: len(X) + 1] += self.scales.n2 if noise is None else noise
        n, m = len(self._X), len(X)
        L = np.zeros((n + m, n + m))
        if n:
            L[:n, :n] = self._L
            L[n:, :n] = linalg.solve_triangular(
                self._L, self._kernel(self._X, X), lower=True, check_finite=False
            ).T
            R -= L[n:, :n] @ L[n:, :n].T
        L[n:, n:] = _cholesky(R)
        self._X, self._L = np.vstack([self._X, X]), L

    def observe(self, y: Array) -> None:
        """The values at the first points, all that are known; the others are taken to turn out as expected.

        Their means stay what they are, and the deviations near them are smaller: T. Desautels, A. Krause, J. W. Burdick,
        "Parallelizing Exploration-Exploitation Tradeoffs in Gaussian Process Bandit Optimization", JMLR 15 (2014).
        """
        L = self._L[: len(y), : len(y)]
        both = linalg.cho_solve((L, True), np.stack([np.ones(len(y)), y], axis=1), check_finite=False)
        self.mean = float(both[:, 1].sum() / both[:, 0].sum())
        self._a = both[:, 1] - self.mean * both[:, 0]

    def imagined(self, worse: float) -> Array:
        """Values at the points that have none yet, each larger than what the ones before it make of it by so many deviations."""
        n = len(self._a)
        return np.asarray(self.means()[n:] + worse * self._L[n:, n:].sum(axis=1))

    def leave_one_out(self) -> tuple[Array, Array]:
        """Mean and deviation of the noisy value at each observed point, from the others: Rasmussen and Williams, eq. 5.12."""
        n = len(self._a)
        inverse, _ = linalg.lapack.dpotri(self._L[:n, :n], lower=1)
        variance = 1.0 / np.diag(inverse)
        # By the mean that all values have; R a = y - mean.
        L = self._L[:n, :n]
        return self.mean + L @ (L.T @ self._a) - self._a * variance, np.sqrt(variance)

    def means(self) -> Array:
        """The function's mean at all of its own points."""
        k = self._kernel(self._X, self._X[: len(self._a)])
        return self.mean + k @ self._a

    def predict(self, Z: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function at m points: two arrays of m numbers."""
        k = self._kernel(self._X, Z * self._inverse_lengths)
        half = linalg.solve_triangular(self._L, k, lower=True, check_finite=False)
        variance = self.scales.s2 - np.einsum("ij,ij->j", half, half)
        return self.mean + self._a @ k[: len(self._a)], np.sqrt(np.maximum(variance, 1e-12 * self.scales.s2))

    def predict_with_gradient(self, Z: Array) -> tuple[Array, Array, Array, Array]:
        """Like `predict`, with the gradients of mean and deviation by features: two arrays (m, F) more."""
        x = Z * self._inverse_lengths
        r = np.sqrt(squared_distances(self._X, x))
        decay = self.scales.s2 * np.exp(-SQRT5 * r)
        k = (1.0 + SQRT5 * r + (5.0 / 3.0) * r**2) * decay
        slope = -(5.0 / 3.0) * (1.0 + SQRT5 * r) * decay  # dk / dx = slope * (x - X)
        half = linalg.solve_triangular(self._L, k, lower=True, check_finite=False)
        weights = linalg.solve_triangular(self._L, half, lower=True, trans=1, check_finite=False)
        variance = self.scales.s2 - np.einsum("ij,ij->j", half, half)
        deviation = np.sqrt(np.maximum(variance, 1e-12 * self.scales.s2))
        n = len(self._a)
        by_mean = self._a[:, None] * slope[:n]
        by_variance = -2.0 * weights * slope
        mean_gradient = by_mean.sum(axis=0)[:, None] * x - by_mean.T @ self._X[:n]
        variance_gradient = by_variance.sum(axis=0)[:, None] * x - by_variance.T @ self._X
        return (
            self.mean + self._a @ k[:n],
            deviation,
            mean_gradient * self._inverse_lengths,
            variance_gradient * self._inverse_lengths / (2.0 * deviation[:, None]),
        )

    def _kernel(self, X: Array, Y: Array) -> Array:
        r = np.sqrt(squared_distances(X, Y))
        return np.asarray(self.scales.s2 * (1.0 + SQRT5 * r + (5.0 / 3.0) * r**2) * np.exp(-SQRT5 * r))


def squared_distances(X: Array, Y: Array) -> Array:
    """Of n rows from m rows: an array (n, m)."""
    square = np.einsum("ij,ij->i", X, X)[:, None] + np.einsum("ij,ij->i", Y, Y)[None, :] - 2.0 * (X @ Y.T)
    if X is Y:
        np.fill_diagonal(square, 0.0)
    return np.asarray(np.maximum(square, 0.0))


def _cholesky(R: Array) -> Array:
    jitter = 0.0
    for _ in range(MOST_JITTERED):
        try:
            return np.asarray(linalg.cholesky(R + jitter * np.eye(len(R)), lower=True, check_finite=False))
        except linalg.LinAlgError:
            jitter = max(10.0 * jitter, 1e-10 * float(np.trace(R)) / len(R), 1e-12)
    raise FloatingPointError(
        "a matrix of covariances has no Cholesky factor, whatever is added to its diagonal"
    )
