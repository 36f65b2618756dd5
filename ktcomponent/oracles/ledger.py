"""What an oracle needs of the place where its decisions are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from ktcomponent.trial import Trial

T = TypeVar("T")


class Ledger(Protocol):
    """Keeps the decisions of an oracle that several processes share.

    The oracle is bound to one by `Oracle.bind`. Every outermost call of one of its deciding methods then goes
    through the ledger, which may run the method several times: after a lost race the oracle is brought to the
    new head and the method runs again. Only the last run counts.
    """

    def refresh(self) -> None:
        """Brings the oracle to the head of the shared search."""

    def create_trial(self, tuner_id: str, method: Callable[[], Trial]) -> Trial:
        """Claims a trial: one that was given back, or what `method` proposes."""

    def update_trial(
        self, trial_id: str, metrics: dict[str, Any], step: int, method: Callable[[], Trial]
    ) -> Trial:
        """Takes intermediate metrics of a trial that this process holds."""

    def should_stop(self, trial_id: str, step: int, method: Callable[[], bool]) -> bool:
        """Whether the stopping rule ends the training of a trial that this process holds."""

    def end_trial(self, trial: Trial, method: Callable[[Trial], None]) -> None:
        """Records the end of a trial that this process holds."""

    def update_space(self, method: Callable[[], None]) -> None:
        """Records new hyperparameters."""

    def stop(self, reason: str, failures: bool = False) -> None:
        """Ends the search: no trial is claimed any more.

        Args:
            reason: For people.
            failures: Whether it ends because too many trials failed, which can be mended.
        """
