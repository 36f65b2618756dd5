"""What is known of trials, as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclasses.dataclass
class Known:
    """Ended trials, in the order of their end.

    Attributes:
        ids: Their ids.
        points: Their points, an array (n, d).
        scores: Their scores, n numbers; smaller is better.
    """

    ids: Sequence[str]
    points: Array
    scores: Array

    def begins(self, other: Known) -> bool:
        """Whether the other one has the same trials, and perhaps more after them."""
        n = len(self.ids)
        return (
            list(self.ids) == list(other.ids[:n])
            and np.array_equal(self.points, other.points[:n], equal_nan=True)
            and np.array_equal(self.scores, other.scores[:n])
        )


@dataclasses.dataclass
class Evidence:
    """What the trials of a search say.

    Attributes:
        completed: Scores of those that completed, at least one; of one trial several, where it was judged on its way.
        ended: All that ended, by how they ended: -1 for failed ones, else 0.
        failed: Which of those failed.
        in_a_row: How many of the last ones failed, one after the other, since somebody last mended what failed.
        pending: The points of running ones.
    """

    completed: Known
    ended: Known
    failed: npt.NDArray[np.bool_]
    in_a_row: int
    pending: Array
