"""`MultiFidelityOracle`: what oracles share that train some configurations for longer than others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.oracles.arguments import count
from ktcomponent.oracles.earlier import Warmed
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.proposal import RUNNING, Proposal
from ktcomponent.trial import Trial, TrialStatus

if TYPE_CHECKING:
    from ktcomponent.oracles.bayesian.sampler import Sampler

SAMPLERS = ("random", "bayesian")
DRAWN = 200
"""A model proposes the best of so many configurations drawn at random. What short trainings tell of full ones is not much; the best of
all would be many times the same one, all but."""
ALL_MODELLED = 10
"""After so many configurations every other one is drawn at random. Where the best ones begin slowly, a model proposes what begins
fast, and none of the best would be among the best of a rung."""


class MultiFidelityOracle(Warmed, Oracle):
    """Base of oracles that train many configurations for a short while, and the best of them further.

    A trial trains one configuration from one epoch to another. Beside the hyperparameters of the space it has these values:

    - "tuner/epochs": until which epoch to train (counted from the beginning of the model's training).
    - "tuner/initial_epoch": the epoch to begin with.
    - "tuner/trial_id": the trial whose model goes on, if any.
    - "tuner/bracket", "tuner/round": where the trial belongs.

    Args:
        max_epochs: How long one model is trained at most.
        factor: By how much each round raises the epochs, and lowers the number of models; at least 2.
        sampler: Where values of new configurations come from: "random", or "bayesian": a model of all trials, that learns from
            short trainings what long ones are worth, chooses the most promising of 200 random ones, by turns with random
            ones.
        earlier: With the sampler "bayesian", trials of earlier studies: see `BayesianOptimizationOracle`.
        arguments: See `Oracle`.

    Raises:
        ConfigurationError: If an argument can't be used.
    """

    def __init__(self, max_epochs: int, factor: float, sampler: str, earlier: Any, **arguments: Any) -> None:
        super().__init__(**arguments)
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 2 <= factor < math.inf:
            raise ConfigurationError(f"`factor` must be a number of at least 2, got {factor!r}.")
        if sampler not in SAMPLERS:
            raise ConfigurationError(f"`sampler` must be one of {SAMPLERS}, got {sampler!r}.")
        self.max_epochs = count("max_epochs", max_epochs)
        self.factor = factor
        self.sampler = sampler
        self.earlier = earlier
        if self.earlier and sampler != "bayesian":
            raise ConfigurationError('A search that begins with `earlier` trials needs `sampler="bayesian"`.')

    def settings(self) -> dict[str, Any]:
        settings = super().settings()
        del settings["max_trials"]
        return {
            **settings,
            "max_epochs": self.max_epochs,
            "factor": self.factor,
            "sampler": self.sampler,
            "earlier": self.earlier,
        }

    def complete_values(self, values: dict[str, Any]) -> dict[str, Any]:
        """Trained to the end, and in no bracket."""
        return {"tuner/epochs": self.max_epochs, "tuner/initial_epoch": 0, **values}

    # -- for subclasses ----------------------------------------------------------------------------------

    def _fresh(self, place: dict[str, Any]) -> Proposal | None:
        """A configuration that no trial has; None when the space has no others.

        Args:
            place: Its values beside the hyperparameters of the space.
        """
        proposal = None
        if self.sampler == "bayesian" and not self._peeking:
            begun = sum(self._continued(t) is None for t in self.trials.values())
            if begun < ALL_MODELLED or begun % 2 == 0:
                proposal = self._sampler.propose(self, begun)
        if proposal is None:
            values = self._random_values()
            if values is None:
                return None
            proposal = {"values": values, "why": {"how": "random"}}
        return {"status": RUNNING, "values": {**(proposal["values"] or {}), **place}, "why": proposal["why"]}

    def _further(self, trial: Trial, place: dict[str, Any]) -> Proposal:
        """The configuration of an ended trial, whose model goes on."""
        values = {**trial.hyperparameters.values, "tuner/trial_id": trial.trial_id, **place}
        return {"status": RUNNING, "values": values, "why": {"how": "promoted", "trial_id": trial.trial_id}}

    def _continued(self, trial: Trial) -> str | None:
        """The trial whose model a trial goes on with."""
        return trial.hyperparameters.values.get("tuner/trial_id")

    def _ranked(self, trials: list[Trial]) -> list[Trial]:
        """Those that may go on, best first: one that a stopping rule ended lacks epochs that the next round would build on."""
        sign = self.objective.sign
        able = [t for t in trials if t.status == TrialStatus.COMPLETED and t.stopped is None]
        return sorted(able, key=lambda t: (sign * (t.score or 0.0), t.number or 0))

    def _new_sampler(self) -> Sampler:
        from ktcomponent.oracles.bayesian.fidelity import InRounds
        from ktcomponent.oracles.bayesian.sampler import Sampler

        fidelity = InRounds(self.max_epochs, self._configuration)
        return Sampler(fidelity=fidelity, earlier=self.earlier or (), drawn=DRAWN)

    def _configuration(self, trial: Trial) -> str:
        return self._compute_values_hash(self._tuned(trial.hyperparameters.values))

    def _compute_values_hash(self, values: Mapping[str, Any]) -> str:
        # A trial that goes on with another one's model has that one's values.
        return super()._compute_values_hash({k: v for k, v in values.items() if not k.startswith("tuner/")})


def has_ended(trial: Trial) -> bool:
    return trial.status in (TrialStatus.COMPLETED, TrialStatus.FAILED)
