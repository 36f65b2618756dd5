"""What an oracle proposes, and how a costly proposal is used again after another worker was quicker."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from ktcomponent.oracles.drawing import Drawing
from ktcomponent.trial import Trial

RUNNING: Literal["RUNNING"] = "RUNNING"
IDLE: Literal["IDLE"] = "IDLE"
STOPPED: Literal["STOPPED"] = "STOPPED"


TIMES_ANEW = 3
"""So often within one decision a costly proposal is made before it is used again: one that knows of the trial that
another worker began meanwhile is better, and a worker that loses every race must come to an end."""


class Proposal(TypedDict, total=False):
    """What `populate_space` returns: a status and, with RUNNING, the values by name.

    It may say `why` these values: see `Trial.why`. An oracle whose proposals are costly gives a few `spare` ones too, the
    next best first.
    """

    status: str
    values: dict[str, Any] | None
    why: dict[str, Any]
    spare: list[Proposal]


class Proposing(Drawing):
    """The part of an oracle that remembers what it has proposed within one decision."""

    costly_proposals = False
    """Whether proposed values are used also after another worker's commit, as long as they are untried; else they
    are proposed anew."""

    _proposed: list[Proposal]
    _basis: dict[str, Any] | None
    _times_proposed: int

    def populate_space(self, trial_id: str) -> Proposal:
        raise NotImplementedError

    def forget_proposal(self) -> None:
        """A new decision begins: what was proposed in an earlier one is of no use in it."""
        self._proposed, self._basis, self._times_proposed = [], None, 0

    def _propose(self, trial_id: str) -> Proposal:
        self._basis = {"number": len(self.trials)}
        self._times_proposed += 1
        proposal = self.populate_space(trial_id)
        values = proposal.get("values")
        if self.costly_proposals and proposal["status"] == RUNNING and values is not None:
            self._proposed = [proposal, *proposal.get("spare", [])]
            self._basis["space"] = len(self.hyperparameters.space)
        return proposal

    def basis_of(self, trial: Trial, seen: int) -> dict[str, Any]:
        """What the values of a new trial follow from: the number that it was proposed as, the commit up to which
        trials were seen, and which of the proposed candidates it is where that is not the first.

        Args:
            trial: The trial.
            seen: The number of the commit at which the oracle is.
        """
        if self._basis is None:
            return {"number": trial.number, "seen": seen}
        self._basis.setdefault("seen", seen)
        return {name: value for name, value in self._basis.items() if name != "space"}

    def _kept_proposal(self) -> Proposal | None:
        """What was proposed before a race was lost in the same decision, if it is still wanted."""
        if self._basis is None or self._basis.get("space") != len(self.hyperparameters.space):
            self._proposed, self._basis = [], None
            return None
        if self._times_proposed < TIMES_ANEW:
            return None
        while self._proposed and self._duplicate(self._proposed[0]["values"] or {}):
            del self._proposed[0]
            self._basis["candidate"] = self._basis.get("candidate", 0) + 1
        return self._proposed[0] if self._proposed else None
