"""Time, as far as waiting and leases go; a storage brings its own, so that a simulation can."""

from __future__ import annotations

import time


class Clock:
    """The clock of this process."""

    def monotonic(self) -> float:
        """Seconds since some moment; never set back, and never compared with another process's."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM = Clock()
