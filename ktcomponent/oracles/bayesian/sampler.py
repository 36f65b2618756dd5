"""`Sampler`: proposes the values of an oracle's next trial from all trials it knows."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ktcomponent.hyperparameters import Fixed, HyperParameters, position
from ktcomponent.oracles.bayesian.code_conditions import with_code_conditions
from ktcomponent.oracles.bayesian.design import initial_point
from ktcomponent.oracles.bayesian.fidelity import FIDELITY, Fidelity
from ktcomponent.oracles.bayesian.known import Evidence, Known
from ktcomponent.oracles.bayesian.model_space import ModelSpace
from ktcomponent.oracles.earlier import EarlierStudy
from ktcomponent.oracles.proposal import RUNNING, Proposal
from ktcomponent.oracles.random_numbers import entropy
from ktcomponent.trial import Trial, TrialStatus

if TYPE_CHECKING:
    from ktcomponent.oracles.bayesian.surrogate import Surrogate
    from ktcomponent.oracles.oracle import Oracle

Array = npt.NDArray[np.float64]

MOST_INITIAL, MOST_INITIAL_AFTER = 10, 4
"""So many trials at most come before the model is asked; after earlier studies fewer."""
LEAST_INITIAL = 5
"""The model is asked before that when so many have ended, and every category was tried."""

MOST_TRIED = 10
"""Of the first points so many are looked at for one that was not tried."""
LEAST_NOISE = 0.01
"""The model believes in this part of `alpha` at least."""


@dataclasses.dataclass
class _Known:
    """What is made once for a space: its arrays, the trials of earlier studies in them, the model once it is asked."""

    key: Any
    space: ModelSpace
    earlier: Sequence[Known]
    surrogate: Surrogate | None = None

    def best_earlier(self) -> Array:
        """The best points of earlier studies, of each in turn: an array (n, d)."""
        ranked = [study.points[np.argsort(study.scores, kind="stable")] for study in self.earlier]
        longest = max((len(points) for points in ranked), default=0)
        found = [points[n] for n in range(longest) for points in ranked if n < len(points)]
        return self.space.pinned(np.array(found).reshape(-1, self.space.dimensions))


@dataclasses.dataclass(frozen=True)
class Sampler:
    """Proposes what promises the largest improvement of a fully trained model.

    Args:
        num_initial_points: So many trials are spread over the space first; None for three more than there are
            hyperparameters, at most 10, or fewer once 5 have ended and every category was tried.
        alpha: See `BayesianOptimizationOracle`.
        beta: With a number, the confidence bound is used instead of expected improvement.
        fidelity: How far trainings go, where they differ in it: the model then learns from short ones too.
        earlier: Trials of earlier studies: see `ktcomponent.oracles.earlier`.
        drawn: The best of so many points drawn at random is proposed; None to look for the best of all.
    """

    num_initial_points: int | None = None
    alpha: float = 1e-4
    beta: float | None = None
    fidelity: Fidelity | None = None
    earlier: Sequence[EarlierStudy] = ()
    drawn: int | None = None
    _kept: list[_Known] = dataclasses.field(default_factory=list, compare=False)

    def propose(self, oracle: Oracle, begun: int) -> Proposal | None:
        """Untried values for the next trial; None where all that were looked at were tried.

        Args:
            oracle: Whose trial it will be.
            begun: How many configurations have been begun.
        """
        tuned = [hp for hp in oracle.hyperparameters.space if not isinstance(hp, Fixed)]
        if not tuned:
            return None
        known = self._known(oracle)
        most = MOST_INITIAL_AFTER if known.earlier else MOST_INITIAL
        count = self.num_initial_points or min(most, len(tuned) + 3)
        is_known = any(t.status == TrialStatus.COMPLETED for t in oracle.trials.values())
        is_spread = begun >= count or self._is_spread(oracle, known)
        proposal = self._best(oracle, known) if is_known and is_spread else None
        return proposal or self._initial(oracle, known, count)

    def _is_spread(self, oracle: Oracle, known: _Known) -> bool:
        """Whether the first trials tell enough, though more were planned. Short trainings don't: there are many of them."""
        if self.num_initial_points or self.fidelity or len(oracle.end_order) < LEAST_INITIAL:
            return False
        if any(trial.unused for trial in oracle.trials.values()):
            return False  # conditions stand in the program's code, and take more trials to be found out
        tried = known.space.encode([t.hyperparameters.values for t in oracle.trials.values()])
        return known.space.has_all_categories(tried)

    def _initial(self, oracle: Oracle, known: _Known, count: int) -> Proposal | None:
        """A point of earlier studies or of a design that spreads over the space; None if all looked at were tried."""
        space = known.space
        so_far = Counter(trial.why["how"] for trial in oracle.trials.values() if trial.why)
        number = so_far["initial"]
        numbers = range(number, number + MOST_TRIED)
        spread = (initial_point(space, n, count, oracle.seed)[0] for n in numbers)
        told = known.best_earlier()
        # By turns the best of earlier studies, and what is tried first without them.
        ways = [("earlier", told), ("initial", spread)]
        if so_far["earlier"] > number:
            ways.reverse()
        for how, points in ways:
            for point in points:
                values = _complete(oracle, space.decode(point))
                if not oracle._duplicate(values):
                    return {"status": RUNNING, "values": values, "why": {"how": how}}
        return None

    def _best(self, oracle: Oracle, known: _Known) -> Proposal | None:
        """What the model says; None if all that it looked at was tried."""
        # These bring scipy, which a batch of the first trials does without.
        from ktcomponent.oracles.bayesian.proposing import propose
        from ktcomponent.oracles.bayesian.surrogate import Surrogate
        from ktcomponent.oracles.bayesian.threads import one_thread

        if known.surrogate is None:
            known.surrogate = Surrogate(
                known.space, self.alpha * LEAST_NOISE, entropy(oracle.seed), known.earlier
            )
        surrogate = known.surrogate
        with one_thread():
            found = propose(
                surrogate,
                self._evidence(oracle, surrogate),
                self.beta,
                np.random.default_rng((entropy(oracle.seed), len(oracle.trials))),
                lambda values: oracle._duplicate(_complete(oracle, values)),
                self.drawn,
            )
        if not found:
            return None
        sign = oracle.objective.sign
        proposals = []
        for candidate in found:
            mean = candidate.why.get("mean")
            why = candidate.why if mean is None else {**candidate.why, "mean": sign * mean}
            values = _complete(oracle, candidate.values)
            proposals.append(Proposal(status=RUNNING, values=values, why=why))
        first, *others = proposals
        return {**first, "spare": others}

    def _known(self, oracle: Oracle) -> _Known:
        """What holds for all trials; made anew where the space, what is known of it, or the seed has changed."""
        ended = [oracle.trials[trial_id] for trial_id in oracle.end_order]
        completed = [trial for trial in ended if trial.status == TrialStatus.COMPLETED]
        hyperparameters = with_code_conditions(oracle.hyperparameters, completed)
        key = ([(hp.domain(), hp.conditions) for hp in hyperparameters.space], oracle.seed)
        if not self._kept or self._kept[0].key != key:
            space = self._space(hyperparameters)
            earlier = [self._known_earlier(space, study, oracle.objective.sign) for study in self.earlier]
            self._kept[:] = [_Known(key, space, [known for known in earlier if known.ids])]
        return self._kept[0]

    def _space(self, hyperparameters: HyperParameters) -> ModelSpace:
        if self.fidelity is None:
            return ModelSpace(hyperparameters)
        space = HyperParameters()
        space.merge(hyperparameters.space)
        space.Float(FIDELITY, 0.0, 1.0)
        return ModelSpace(space, pinned=FIDELITY)

    def _known_earlier(self, space: ModelSpace, study: EarlierStudy, sign: float) -> Known:
        """An earlier study's trials. Numbers whose domain is another one by now are taken to its nearest value."""
        full = {} if self.fidelity is None else {FIDELITY: 1.0}
        trials = [t for t in study["trials"] if space.has_categories_of(t["values"])]
        points = space.encode([{**trial["values"], **full} for trial in trials])
        # What an earlier study didn't have had its default there, as far as can be told.
        defaults = np.array([position(hp, hp.default) for hp in space.tuned])
        points = space.legal(np.where(np.isnan(points), defaults, points))
        return Known(
            [str(n) for n in range(len(trials))], points, np.array([sign * t["score"] for t in trials])
        )

    def _evidence(self, oracle: Oracle, surrogate: Surrogate) -> Evidence:
        ended = [oracle.trials[trial_id] for trial_id in oracle.end_order]
        failed = np.array([t.status != TrialStatus.COMPLETED for t in ended], bool)
        running = [
            t for t in oracle.trials.values() if t.status in (TrialStatus.RUNNING, TrialStatus.INVALID)
        ]
        completed = [t for t in ended if t.status == TrialStatus.COMPLETED]
        if self.fidelity is None:
            rows: list[tuple[Trial, int | None]] = [(t, None) for t in completed]
            told = [t.score or 0.0 for t in completed]
        else:
            # Shorter looks at the same training say nothing that its end doesn't, and may contradict it.
            rows = [(t, self.fidelity.ended(t)) for t in completed]
            told = self.fidelity.lifted(completed)
        scores = oracle.objective.sign * np.array(told)
        return Evidence(
            Known([_id(*row) for row in rows], self._points(surrogate, rows), scores),
            Known(
                [t.trial_id for t in ended],
                self._points(surrogate, [(t, self._full) for t in ended]),
                -failed.astype(float),
            ),
            failed,
            int(np.argmin(np.append(failed[oracle._failures_from :][::-1], False))),
            self._points(surrogate, [(t, self._planned(t)) for t in running]),
        )

    def _points(self, surrogate: Surrogate, trials: Sequence[tuple[Trial, int | None]]) -> Array:
        """The points of trials that have trained for so many epochs."""
        return surrogate.points([_id(*t) for t in trials], [self._values(*t) for t in trials])

    @property
    def _full(self) -> int | None:
        return None if self.fidelity is None else self.fidelity.most

    def _planned(self, trial: Trial) -> int | None:
        return None if self.fidelity is None else self.fidelity.planned(trial)

    def _values(self, trial: Trial, epochs: int | None) -> Mapping[str, Any]:
        """A trial's values as the model's space has them."""
        values = trial.hyperparameters.values
        if self.fidelity is None or epochs is None:
            return values
        return {**values, FIDELITY: self.fidelity.position(epochs)}


def _complete(oracle: Oracle, values: dict[str, Any]) -> dict[str, Any]:
    """The values, and defaults of those that no program will ask for."""
    return {**values, **oracle.hyperparameters.missing(values)}


def _id(trial: Trial, epochs: int | None) -> str:
    return trial.trial_id if epochs is None else f"{trial.trial_id}@{epochs}"
