"""Values drawn at random that no trial has yet."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ktcomponent.hyperparameters import HyperParameter, HyperParameters
from ktcomponent.oracles.odometer import Odometer
from ktcomponent.oracles.random_numbers import uniform
from ktcomponent.trial import Trial, TrialStatus


class Drawing:
    """The part of an oracle that knows which values were tried, and draws others."""

    trials: dict[str, Trial]
    hyperparameters: HyperParameters
    seed: int
    tune_new_entries: bool
    _candidate: int
    _max_collisions: int
    _tried_so_far: set[str]
    _id_to_hash: defaultdict[str, str | None]

    def _random_values(self) -> dict[str, Any] | None:
        """Values drawn at random that no trial has; None when the space has no others.

        A function of the seed, the number of trials and the draws made for this trial so far.
        """
        for _ in range(self._max_collisions + 1):
            values: dict[str, Any] = {}
            for hp in self.hyperparameters.space:
                # Of several with one name that are active at a time the first counts, as when a model asks.
                if hp.name not in values and hp.is_active(values):
                    values[hp.name] = hp.prob_to_value(self._draw(hp))
            self._candidate += 1
            if not self._duplicate(values):
                return values
        return self._first_untried()

    def _draw(self, hp: HyperParameter) -> float:
        return uniform(self.seed, len(self.trials), self._candidate, hp.name)

    def _first_untried(self) -> dict[str, Any] | None:
        """The first combination, from a random one on, that no trial has; None if all were tried.

        For a space that is nearly used up. A continuous hyperparameter takes one value drawn at random, which
        is new whenever it is active.
        """

        def axis(hp: HyperParameter) -> Sequence[Any]:
            legal = hp.legal_values
            return [hp.prob_to_value(self._draw(hp))] if legal is None else legal

        odometer = Odometer(self.hyperparameters, axis)
        values = first = odometer.at(lambda hp, n: min(int(self._draw(hp) * n), n - 1))
        while self._duplicate(values):
            values = odometer.after(values) or odometer.first()
            if values == first:
                return None
        return values

    def _nothing_declared(self) -> bool:
        """Whether no trial has told yet which hyperparameters there are: none has completed."""
        return not self.hyperparameters.space and all(
            trial.status != TrialStatus.COMPLETED for trial in self.trials.values()
        )

    def _duplicate(self, values: Mapping[str, Any]) -> bool:
        if self._nothing_declared():
            return False  # those that failed before they declared any may do better next time
        return self._compute_values_hash(self._tuned(values)) in self._tried_so_far

    def _tuned(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values by which trials are told apart: not those of new entries that aren't tuned."""
        if self.tune_new_entries:
            return values
        return {hp.name: values[hp.name] for hp in self.hyperparameters.space if hp.name in values}

    def _compute_values_hash(self, values: Mapping[str, Any]) -> str:
        text = repr([(name, str(told_apart(values[name]))) for name in sorted(values)])
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]

    def _hash_of(self, trial: Trial) -> str:
        """By which values a trial is known; one that is yet to run takes the defaults of what others have discovered."""
        values: Mapping[str, Any] = trial.hyperparameters.values
        if trial.status in (TrialStatus.RUNNING, TrialStatus.INVALID):
            values = {**values, **self.hyperparameters.missing(values)}
        return self._compute_values_hash(self._tuned(values))

    def _record_values(self, trial: Trial) -> None:
        trial.hyperparameters.ensure_active_values()
        self._record_hash(trial)

    def _record_hash(self, trial: Trial) -> None:
        before = self._id_to_hash[trial.trial_id]
        now = self._hash_of(trial)
        self._id_to_hash[trial.trial_id] = now
        if before is not None and before != now and before not in self._id_to_hash.values():
            self._tried_so_far.discard(before)
        self._tried_so_far.add(now)


def told_apart(value: Any) -> Any:
    """The same for numbers that are written or rounded in different ways: 1 and 1.0, 0.3 and 3 * 0.1."""
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    rounded = float(f"{value:.13g}")
    return int(rounded) if rounded.is_integer() else rounded
