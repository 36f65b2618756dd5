"""How long to wait after a lost race for the next commit."""

from __future__ import annotations

import random

TURN = 96
"""Where the log is crowded, a loser leaves others so many commits: some get many done in a row, and who waited catches
up by whole blocks. Without turns every worker would read every commit by itself."""
MAX_S = 5.0
CROWDED = 0.1
"""From this share of a commit's time in which others commit too, a log is crowded."""
BRIEF = 20
"""Who works for less than so many times the time of a commit between two of its own crowds the log; for who works
longer a turn would be lost time."""


class Backoff:
    """Knows how one process commits.

    Attributes:
        latency: How long it takes to write, in seconds.
    """

    def __init__(self) -> None:
        self.latency = 0.02
        self._landed = float("-inf")
        self._patient = False
        self._pauses = float("inf"), float("inf")

    def begins(self, now: float, patient: bool = False) -> None:
        """A commit is to be made; a patient one takes turns wherever the log is crowded."""
        self._patient = patient
        self._pauses = self._pauses[1], now - self._landed

    def written(self, seconds: float) -> None:
        self.latency = (self.latency + seconds) / 2

    def landed(self, now: float) -> None:
        self._landed = now

    def takes_turns(self, rate: float) -> bool:
        """Whether the log is crowded, and by processes like this one."""
        # A trial has two commits, one right after the other: the longer pause of two is that of the work.
        is_brief = self._patient or max(self._pauses) < BRIEF * self.latency
        return is_brief and rate * self.latency > CROWDED

    def seconds(self, lost: int, rate: float) -> float:
        """How long to wait.

        Args:
            lost: How many races were lost for this commit.
            rate: How fast others commit, in commits a second.
        """
        wait = self.latency * 2.0 ** min(lost, 16)
        if self.takes_turns(rate):
            wait = max(wait, TURN / rate)
        return random.uniform(0.5, 1.5) * min(wait, MAX_S)
