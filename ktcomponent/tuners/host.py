"""Where a tuner runs: in a program of its own, or inside `ktcomponent step`.

The step can't pass its study to a tuner that a user's function makes, so it sets a host that the tuner's
constructor looks at. There is one at a time, and only inside `hosting`.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ktcomponent.storage import Storage
from ktcomponent.study import Study, Writer


@dataclass
class Limits:
    """When a search stops asking for more trials, beside its own end.

    Attributes:
        trials: After so many trials that ended here; None for no limit.
        runtime_s: So many seconds after `started`.
        deadline: From this moment on for everybody: the end of the search is committed.
        max_wait_s: After so many seconds of waiting for other workers' trials; None waits for ever.
        started: When the clock of `runtime_s` began (`time.monotonic()`).
    """

    trials: int | None = None
    runtime_s: float | None = None
    deadline: datetime.datetime | None = None
    max_wait_s: float | None = None
    started: float = field(default_factory=time.monotonic)

    def runtime_is_over(self) -> bool:
        return self.runtime_s is not None and time.monotonic() - self.started >= self.runtime_s

    def deadline_has_passed(self) -> bool:
        return self.deadline is not None and datetime.datetime.now(datetime.UTC) >= self.deadline


@dataclass
class Host:
    """A step, as seen by the tuner in it.

    Attributes:
        storage: The study's storage, whatever `directory` says.
        writer: The owner and the incarnation, which the supervisor opens and closes.
        scratch: A local folder, removed by the supervisor.
        limits: When to stop.
        study_wins: Whether the study's settings are kept where the tuner's differ.
        settings: The study's own settings that were asked for; see `ktcomponent.study.settings`.
        writes: Whether the study will be written to, which is then checked first.
        study: The study, where it is open already; the tuner leaves its own here.
        is_new: Whether there was no study a moment ago.
    """

    storage: Storage
    writer: Writer
    scratch: Path
    limits: Limits
    study_wins: bool = True
    writes: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    study: Study | None = None
    is_new: bool = False


_current: Host | None = None


@contextlib.contextmanager
def hosting(host: Host) -> Iterator[None]:
    """Tuners made inside belong to this host."""
    global _current
    _current = host
    try:
        yield
    finally:
        _current = None


def current_host() -> Host | None:
    return _current
