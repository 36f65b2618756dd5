"""What one step is asked to do; crosses from the supervisor to the training child as JSON."""

from __future__ import annotations

import dataclasses
import datetime
import json
from dataclasses import dataclass, field
from typing import Any

from ktcomponent.errors import ConfigurationError


@dataclass(frozen=True)
class Plan:
    """The arguments of `ktcomponent step` and `ktcomponent prepare`.

    Attributes:
        study: URL of the study.
        hypermodel: Import path of what to tune, as `package.module:name`.
        search_args: Import path of a function that returns the `(args, kwargs)` of `search`.
        search_kwargs: Keyword arguments of `search`, laid over those.
        oracle: Class and constructor arguments; None takes the study's, or the tuner's own.
        warm_start: URLs of earlier studies, or of folders with some, from which a new study begins.
        owner: Who claims trials.
        batch_size: How many trials to run; None for no limit.
        max_runtime: Seconds after which no more trial is claimed.
        gpus: How many GPUs the training framework must see at least.
        deadline: ISO time from which on the search is over for everybody.
        max_wait: Seconds to wait while only others have something to do.
        settings: The study's own settings; see `ktcomponent.study.settings`.
        storage_options: Arguments of the file system, without credentials; see `open_storage`.
    """

    study: str
    hypermodel: str
    search_args: str | None = None
    search_kwargs: dict[str, Any] = field(default_factory=dict)
    oracle: dict[str, Any] | None = None
    warm_start: list[str] = field(default_factory=list)
    owner: str = ""
    batch_size: int | None = None
    max_runtime: float | None = None
    deadline: str | None = None
    max_wait: float = 600.0
    gpus: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    storage_options: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        return cls(**json.loads(text))

    def deadline_time(self) -> datetime.datetime | None:
        return None if self.deadline is None else parse_time(self.deadline)


def parse_time(text: str) -> datetime.datetime:
    """A moment from ISO 8601 or seconds since 1970; without an offset it is UTC.

    Raises:
        ConfigurationError: If it is neither.
    """
    try:
        try:
            moment = datetime.datetime.fromisoformat(text)
        except ValueError:
            moment = datetime.datetime.fromtimestamp(float(text), datetime.UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigurationError(
            f"The deadline {text!r} is no time. Expected ISO 8601, for example 2031-05-04T06:00:00+00:00."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
