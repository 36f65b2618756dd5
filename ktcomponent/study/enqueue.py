"""Values that a person asks to be tried, before any that the oracle proposes."""

from __future__ import annotations

import json
from typing import Any

from ktcomponent.errors import ConfigurationError, Refused
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.study.entry import plain
from ktcomponent.study.state import StudyState
from ktcomponent.study.study import Draft, Study, Writer


def enqueue(study: Study, writer: Writer, values: dict[str, Any]) -> int:
    """Puts values at the end of the queue.

    Args:
        study: The study.
        writer: Who.
        values: By hyperparameter; those left out take their defaults.

    Returns:
        The number of the commit.

    Raises:
        ConfigurationError: If a value is not in the study's search space, or the search has no room for it.
    """

    def decide(state: StudyState) -> Draft:
        _check_values(study.url, state, values)
        _check_room(study.url, state)
        return Draft("enqueue", extra={"values": plain(values)})

    try:
        commit = study.commit(writer, decide)
    except Refused as error:
        raise ConfigurationError(f"Nothing was enqueued: {error}.") from error
    return int(commit["seq"]) if commit is not None else 0


def _check_values(url: str, state: StudyState, values: dict[str, Any]) -> None:
    space = HyperParameters.from_config(state.document["oracle"]["hyperparameters"])
    free = {*state.config.get("dynamic", []), *state.config.get("overridden", [])}
    for name, value in values.items():
        known = [hp for hp in space.space if hp.name == name]
        if not space.space or (known and name in free):
            continue  # what the space is shows in the first trial
        if not known:
            names = ", ".join(sorted({hp.name for hp in space.space}))
            raise ConfigurationError(
                f"The study {url} has no hyperparameter {name!r}; it has: {names}. Nothing was enqueued."
            )
        if not any(hp.allows(value) for hp in known):
            domains = " or ".join(json.dumps(hp.domain()) for hp in known)
            raise ConfigurationError(
                f"{name}={value!r} is not in the search space of {url}: {domains}. Nothing was enqueued."
            )


def _check_room(url: str, state: StudyState) -> None:
    most = state.config["oracle"].get("max_trials")
    if most is not None and len(state.trials) + len(state.queue) >= most:
        raise ConfigurationError(
            f"The study {url} has no room for another trial: max_trials is {most}. Raise it with `ktcomponent "
            "prepare`. Nothing was enqueued."
        )
