"""Leases: attempts whose worker shows no sign of life are given back by those who wait.

Only who has nothing to claim watches others. An attempt is silent for as long as its beat was seen not to change,
on the watcher's own clock; time counts only between two looks that both succeeded and lie close together, so an
outage of the storage, or a watcher that was suspended itself, expires nobody. No two machines' clocks are compared.
Expiring can be wrong (the worker may live behind a broken network) and is harmless then: the fold fences it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ktcomponent.errors import Refused, StorageError
from ktcomponent.study import beats, layout
from ktcomponent.study.state import StudyState
from ktcomponent.study.study import Draft, Study, Writer

MARGIN = 0.5
"""Beyond its lease, as a part of it, an attempt may be silent."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.3, 5.0
PATIENCE = 0.25
"""Who has nothing to claim looks again after this part of the time that it has waited, so it loses no more than that."""

Attempt = tuple[int, str, int]
"""Generation, trial, attempt."""


def pause_s(waited: float, state: StudyState) -> float:
    """How long who has waited for `waited` seconds sleeps before the next look."""
    return min(max(FIRST_PAUSE_S, PATIENCE * waited), LONGEST_PAUSE_S, state.shortest_lease() / 6)


@dataclass
class _Sighting:
    """The last beat of an attempt (None before the first), and for how many seconds it has not changed."""

    beat: bytes | None
    silent: float = 0.0


class Expiry:
    """What a waiting worker knows of the others.

    Args:
        study: The study; it is refreshed by somebody else.
        writer: Who expires.
    """

    def __init__(self, study: Study, writer: Writer) -> None:
        self._study = study
        self._writer = writer
        self._seen: dict[Attempt, _Sighting] = {}
        # When a look was tried, and when the last one succeeded.
        self._tried: float | None = None
        self._looked: float | None = None

    def look(self) -> list[str]:
        """Looks at the beats of what runs, if that is due; expires what was silent for longer than its lease.

        Returns:
            The trials that were given back.
        """
        state, clock = self._study.state, self._study.storage.clock
        running = state.running()
        if not running:
            return []
        least = min(lease["lease_s"] or 0 for lease in running.values())
        began = clock.monotonic()
        if self._tried is None:
            # Who waits for a moment only asks nothing.
            self._tried = began
        if began - self._tried < least / 6:
            return []
        self._tried = began
        attempts: list[Attempt] = [(state.generation, t, lease["attempt"]) for t, lease in running.items()]
        try:
            found = self._study.storage.get_many(
                [layout.beat(*attempt) for attempt in attempts], beats.MAX_BYTES
            )
        except StorageError:
            self._looked = None
            return []
        elapsed = 0.0 if self._looked is None else began - self._looked
        self._looked = clock.monotonic()
        expired = []
        seen = {}
        for attempt, beat in zip(attempts, found, strict=True):
            lease_s = running[attempt[1]]["lease_s"] or 0
            known = self._seen.get(attempt)
            if known is None or known.beat != beat:
                known = _Sighting(beat)
            elif elapsed <= lease_s / 3:
                known.silent += elapsed
            seen[attempt] = known
            if known.silent > lease_s * (1 + MARGIN) and self._expire(attempt):
                expired.append(attempt[1])
        self._seen = seen
        return expired

    def _expire(self, attempt: Attempt) -> bool:
        generation, trial_id, number = attempt

        def decide(state: StudyState) -> Draft | None:
            lease = state.leases.get(trial_id)
            if state.generation != generation or lease is None:
                return None
            if (lease["state"], lease["attempt"]) != ("running", number):
                return None
            return Draft("expire", trial_id, number, extra={"reason": "no sign of life within its lease"})

        try:
            return self._study.commit(self._writer, decide) is not None
        except Refused:
            return False
