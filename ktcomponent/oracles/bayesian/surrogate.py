"""`Surrogate`: what ended trials tell about all points, kept from one proposal to the next.

A proposal must follow from the trials and nothing else, whichever process makes it. So scales are fitted at certain
numbers of trials, always from the same start, and the trials after those are added one by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from ktcomponent.oracles.bayesian.gaussian_process import GaussianProcess, Prior, Scales
from ktcomponent.oracles.bayesian.known import Known
from ktcomponent.oracles.bayesian.model_space import ModelSpace, distinct
from ktcomponent.oracles.bayesian.target import Target
from ktcomponent.oracles.bayesian.transfer import Ensemble, Predicting, weights

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

MOST_FITTED = 200
"""Scales are fitted to so many trials at most: the better half of them the best, the others drawn at random."""
FITS = ((500, 32), (200, 16), (100, 5), (50, 2))
"""From so many trials on scales are fitted once in so many; before, with every trial."""
LABEL_NOISE = 0.01
"""Variance of the noise of labels. Their length scales are those thought of before any trial: fitted to a step, a smooth
process takes most of it for noise."""
PENDING_NOISE = 1e-6
"""Running trials count as if their values came without noise: next to them another look at the same spot is worth nothing."""
WORSE = 0.75
"""Running trials are taken to turn out worse than expected by so many deviations: as expected, a batch stays too close together.
Where most trainings are short ones (rungs) they count as expected."""
MOST_KEPT = 1000
"""A process holds so many trials, chosen in the same way, and those that came since it was built."""


class Scores:
    """A process of the scores.

    Attributes:
        process: Given the trials that are known, and the running ones (`WORSE` than expected); or an ensemble with earlier studies.
        target: Maps scores to the process's values, and back.
        incumbent: The lowest mean at a point of a trial, known or running.
        best: Those points, lowest mean first.
    """

    def __init__(self, process: Predicting, target: Target, space: ModelSpace, points: Array) -> None:
        self.process = process
        self.target = target
        if space.pin is None and isinstance(process, GaussianProcess):
            means = process.means()
        else:  # a trial may be known several times, and counts for what it would be worth in the end
            points = distinct(space.pinned(points))
            means = process.predict(space.features(points))[0]
        order = np.argsort(means, kind="stable")
        self.best = points[order]
        self.incumbent = float(means[order[0]])


class Feasibility:
    """How probable it is that a trial at a point does not fail.

    A process of labels, 1 for failed trials and 0 for others; a point fails where a noisy label would be nearer to 1.
    """

    def __init__(self, process: GaussianProcess, middle: float) -> None:
        self._process = process
        self._middle = middle

    def log_probability(self, Z: Array) -> Array:
        """Of points given by their features: m numbers."""
        m, s = self._process.predict(Z)
        return np.asarray(special.log_ndtr((self._middle - m) / np.sqrt(s**2 + self._process.scales.n2)))

    def log_probability_with_gradient(self, Z: Array) -> tuple[Array, Array]:
        """Its values, and their gradients by features, an array (m, F)."""
        m, s, by_m, by_s = self._process.predict_with_gradient(Z)
        q = np.sqrt(s**2 + self._process.scales.n2)
        t = (self._middle - m) / q
        log_p = special.log_ndtr(t)
        slope = np.exp(-0.5 * t**2 - log_p) / np.sqrt(2.0 * np.pi)
        gradient = -(by_m / q[:, None]) - (t * s / q**2)[:, None] * by_s
        return np.asarray(log_p), np.asarray(slope[:, None] * gradient)


@dataclasses.dataclass
class _Built:
    """A process, the trials up to which it goes, and which of them it holds."""

    known: Known
    rows: Rows
    process: GaussianProcess


class Surrogate:
    """The processes of one search.

    Args:
        space: The search space as arrays.
        least_noise: The least variance of the noise, relative to that of the scores.
        seed: Decides which trials are left out where there are too many.
        earlier: Trials of earlier studies, each of one.
    """

    def __init__(
        self, space: ModelSpace, least_noise: float, seed: int, earlier: Sequence[Known] = ()
    ) -> None:
        self.space = space
        self._prior = Prior(space.groups, space.is_number, least_noise, space.pin)
        self._seed = seed
        self._earlier = list(earlier)
        self._built: dict[str, _Built] = {}
        self._encoded: dict[str, tuple[Mapping[str, Any], Array]] = {}

    def points(self, ids: Sequence[str], values: Sequence[Mapping[str, Any]]) -> Array:
        """The points of trials, worked out once for each: an array (n, d)."""
        new = [
            i for i, v in zip(ids, values, strict=True) if i not in self._encoded or self._encoded[i][0] != v
        ]
        wanted = dict(zip(ids, values, strict=True))
        for i, point in zip(new, self.space.encode([wanted[i] for i in new]), strict=True):
            self._encoded[i] = dict(wanted[i]), point
        rows = [self._encoded[i][1] for i in ids]
        return np.array(rows) if rows else np.zeros((0, self.space.dimensions))

    def scores(self, known: Known, pending: Array, power: bool) -> Scores:
        """What is known of scores.

        Args:
            known: The trials that completed, at least one.
            pending: Points of running trials.
            power: See `Target.of`.
        """

        def fitted(Z: Array, kept: Array, some: Rows) -> Scales:
            return self._prior.fit(Z, self._target(kept, power).values[some])

        rows, process = self._process(f"scores, {power}", known, known.scores, fitted)
        target = self._target(known.scores[rows], power)
        worse = WORSE if self.space.pin is None else 0.0
        alone = _observed(process.copy(), target.values, self.space.features(pending), worse)
        looked_at = np.vstack([known.points[rows], pending])
        if not self._earlier:
            return Scores(alone, target, self.space, looked_at)
        base = [self._known_earlier(n, power) for n in range(len(self._earlier))]
        seen = self.space.features(looked_at)
        own = _observed(process, target.values, np.zeros((0, self.space.dimensions)), 0.0)
        rng = np.random.default_rng((self._seed, len(known.ids), 2))
        say = weights(base, own, self.space.features(known.points[rows]), target.values, rng)
        # An earlier study knows nothing of this one's trials, and would have all lanes take the same spot.
        told = [process.copy() for process in base]
        for process in told:
            process.add(seen, PENDING_NOISE)
        return Scores(Ensemble([*told, alone], say), target, self.space, looked_at)

    def _target(self, scores: Array, power: bool) -> Target:
        return Target.of(scores, power, in_rungs=self.space.pin is not None)

    def _known_earlier(self, number: int, power: bool) -> GaussianProcess:
        """The process of an earlier study."""
        name = f"earlier {number}, {power}"
        if name not in self._built:
            known = self._earlier[number]
            rows = _chosen(known.scores, MOST_FITTED, (self._seed, number, 3))
            Z, target = self.space.features(known.points[rows]), self._target(known.scores[rows], power)
            process = GaussianProcess(self.space.groups, self._prior.fit(Z, target.values))
            process.add(Z)
            process.observe(target.values)
            self._built[name] = _Built(known, rows, process)
        return self._built[name].process

    def feasibility(self, known: Known, failed: npt.NDArray[np.bool_], pending: Array) -> Feasibility:
        """What is known of failures.

        Args:
            known: All trials that ended, -1 for the score of a failed one.
            failed: Which of them failed; at least one.
            pending: Points of running trials.
        """
        labels = failed.astype(float)
        scales = Scales(np.exp(self._prior.centre), 1.0, LABEL_NOISE)
        rows, process = self._process("labels", known, known.scores, lambda *_: scales)
        mean, deviation = float(np.mean(labels[rows])), float(np.std(labels[rows])) or 1.0
        values = (labels[rows] - mean) / deviation
        process = _observed(process, values, self.space.features(pending), 0.0)
        return Feasibility(process, (0.5 - mean) / deviation)

    def _process(
        self, name: str, known: Known, ranks: Array, scales_of: Callable[[Array, Array, Rows], Scales]
    ) -> tuple[Rows, GaussianProcess]:
        """The rows of `known` that a process holds, and the process, which knows no values yet.

        Args:
            name: Of which process.
            known: The trials.
            ranks: Where some are left out, the smaller half of these stays.
            scales_of: Scales that suit features, given the ranks of all rows that it will hold, and which of them are
                these.
        """
        n = len(known.ids)
        m = _fitted_at(n)
        built = self._built.get(name)
        if built is not None and m <= len(built.known.ids) and built.known.begins(known):
            rows, process, since = built.rows, built.process, len(built.known.ids)
        else:
            rows = _chosen(ranks[:m], MOST_KEPT, (self._seed, m, 0))
            Z = self.space.features(known.points[rows])
            some = _chosen(ranks[rows], MOST_FITTED, (self._seed, m, 1))
            process = GaussianProcess(self.space.groups, scales_of(Z[some], ranks[rows], some))
            process.add(Z)
            since = m
        for i in range(since, n):
            process.add(self.space.features(known.points[i : i + 1]))
            rows = np.append(rows, i)
        self._built[name] = _Built(known, rows, process)
        return rows, process.copy()


def _observed(process: GaussianProcess, values: Array, pending: Array, worse: float) -> GaussianProcess:
    """The process with the values at its points, and with running trials.

    Args:
        process: Knows no values yet; it is changed.
        values: At its points.
        pending: Features of running trials.
        worse: See `GaussianProcess.imagined`.
    """
    process.observe(values)
    if len(pending):
        process.add(pending, PENDING_NOISE)
        if worse:
            process.observe(np.concatenate([values, process.imagined(worse)]))
    return process


def _fitted_at(n: int) -> int:
    """With how many trials scales were last fitted."""
    for start, every in FITS:
        if n >= start:
            return start + (n - start) // every * every
    return n


def _chosen(ranks: Array, most: int, seed: tuple[int, ...]) -> Rows:
    """Of more rows than `most`: the better half of them by rank, and others at random; in their order."""
    n = len(ranks)
    if n <= most:
        return np.arange(n)
    order = np.argsort(ranks, kind="stable")
    others = np.random.default_rng(seed).permutation(order[most // 2 :])[: most - most // 2]
    return np.sort(np.concatenate([order[: most // 2], others]))
