"""Trials of earlier studies, for an oracle that begins with what they found."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ktcomponent.console import say
from ktcomponent.errors import ConfigurationError, KtcomponentError
from ktcomponent.objective import create_objective
from ktcomponent.oracles.earlier import MOST_STUDIES, MOST_TRIALS, EarlierStudy
from ktcomponent.storage import open_storage
from ktcomponent.storage.secret import hide
from ktcomponent.study.ranking import best_trials
from ktcomponent.study.state import StudyState
from ktcomponent.study.study import Study

LATEST = 3
"""Of a folder of studies so many."""
LOOKED_AT = 20
_DATE = re.compile(r"\d{4}-\d\d-\d\d[T_ ]?[\d:.\-]*")


def earlier_trials(
    url: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    objective: Any = None,
    **storage_options: Any,
) -> list[EarlierStudy]:
    """What completed trials of earlier studies found, as the argument `earlier` of an oracle takes it.

    Args:
        url: A study's URL; or that of a folder with studies in it, of which the latest three count, by the dates in their
            names; or several of those, of which the first five studies count. A folder may be empty: nothing is known then.
        objective: What the new study optimises; None for that of the first study found. Only studies with the same one count.
        storage_options: See `ktcomponent.storage.open_storage`.

    Raises:
        ConfigurationError: If a URL is a study with another objective.
    """
    urls = [url] if isinstance(url, (str, os.PathLike)) else list(url)
    wanted = None if objective is None else _told(create_objective(objective))
    found: list[EarlierStudy] = []
    for each in urls:
        study = Study.find(open_storage(each, **storage_options))
        studies = _inside(each, wanted, storage_options) if study is None else [study]
        for one in studies:
            wanted = wanted or _objective(one)
            if _objective(one) != wanted:
                raise ConfigurationError(
                    f"The study {hide(one.url)} has the objective {_objective(one)}, and this one {wanted}: its trials can't be used."
                )
            trials = _trials(one.state)
            if trials:
                found.append({"name": hide(one.url), "trials": trials})
    left_out = len(found) - MOST_STUDIES
    found = found[:MOST_STUDIES]
    told = f" The first {MOST_STUDIES} count: {left_out} more are left out." if left_out > 0 else ""
    say(f"Of {len(found)} earlier studies {sum(len(s['trials']) for s in found)} trials are known.{told}")
    return found


def _inside(url: str | os.PathLike[str], wanted: str | None, options: Mapping[str, Any]) -> list[Study]:
    """The latest studies in a folder, with one objective; what can't be read is passed over."""
    found: list[Study] = []
    for name in _latest(open_storage(url, **options).folders()):
        try:
            study = Study.find(open_storage(f"{os.fspath(url).rstrip('/')}/{name}", **options))
        except KtcomponentError as error:
            say(f"Passed over, of the earlier studies: {error}")
            continue
        if (
            study is None
            or not best_trials(study.state)
            or _objective(study) != (wanted or _objective(study))
        ):
            continue
        wanted = _objective(study)
        found.append(study)
        if len(found) == LATEST:
            break
    return found


def _latest(names: Sequence[str]) -> list[str]:
    """Folders by the dates in their names, the latest first; those without a date last."""

    def date(name: str) -> tuple[str, str]:
        match = _DATE.search(name)
        return (match.group() if match else "", name)

    return sorted(names, key=date, reverse=True)[:LOOKED_AT]


def _objective(study: Study) -> str:
    return _told(create_objective(study.state.config["oracle"]["objective"]))


def _told(objective: Any) -> str:
    """An objective as text that is the same for the same one."""
    return json.dumps(objective.get_config() or f"{objective.name}, {objective.direction}", sort_keys=True)


def _trials(state: StudyState) -> list[Any]:
    """Completed trials that were trained to the end: the best ones, and of the others some from everywhere."""
    records = [state.trials[i] for i in best_trials(state)]
    longest = max((r["values"].get("tuner/epochs", 0) for r in records), default=0)
    records = [
        r for r in records if r.get("stopped") is None and r["values"].get("tuner/epochs", 0) == longest
    ]
    half = MOST_TRIALS // 2
    others = records[half:]
    step = max(-(-len(others) // half), 1)
    return [
        {"values": {k: v for k, v in r["values"].items() if not k.startswith("tuner/")}, "score": r["score"]}
        for r in [*records[:half], *others[::step]]
    ]
