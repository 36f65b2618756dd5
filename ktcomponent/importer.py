"""Bringing a KerasTuner project into a study, with its trials and checkpoints."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import BayesianOptimizationOracle, HyperbandOracle
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.oracles.registry import class_name, create_oracle
from ktcomponent.storage import LocalStorage, Storage, open_storage
from ktcomponent.study import Study, StudyLedger, Writer, artifacts, incarnations
from ktcomponent.study.binding import create
from ktcomponent.study.entry import plain
from ktcomponent.study.study import Draft
from ktcomponent.trial import Trial, TrialStatus

ORACLE = "oracle.json"
TRIAL = "trial.json"
NOTE = "import"
"""Where a study's configuration says what was brought in."""


@dataclass
class Project:
    """A KerasTuner project as it was read.

    Attributes:
        storage: Its folder.
        state: What `oracle.json` holds.
        trials: In the order of their creation.
        ended: Their ids in the order in which they ended.
    """

    storage: Storage
    state: dict[str, Any]
    trials: list[Trial]
    ended: list[str]


def import_project(folder: str, to: str, oracle: Mapping[str, Any]) -> Study:
    """Makes a study of a KerasTuner project; everything is checked before anything is written.

    Trials that had not ended are run again. An import that was broken off goes on when it is called again.

    Args:
        folder: Path or URL of the project: the folder that holds `oracle.json`.
        to: The study's URL; nothing may be there yet.
        oracle: Class and constructor arguments of the project's oracle, as `--oracle` takes them. The seed is the
            project's unless it is given.

    Returns:
        The study.

    Raises:
        ConfigurationError: If there is no project, it can't be read, it is of another oracle, or there is a study
            at `to` already.
    """
    project = read_project(open_storage(folder))
    made = _oracle_of(project, oracle)
    _check(project, made)
    target = open_storage(to)
    target.check_shared()
    # Who goes on with an import is the same owner, so that what was claimed then is freed.
    source = {"source": project.storage.url, "trials": len(project.trials), "complete": False}
    owner = f"import-{hashlib.sha256(project.storage.url.encode()).hexdigest()[:16]}"
    writer = Writer(owner, incarnations.new_incarnation())
    study = Study.find(target)
    if study is None:
        study = create(made, target, writer, {NOTE: source})
    elif study.state.config.get(NOTE) != source:
        raise ConfigurationError(f"There is a study at {to} already. Import into another place.")
    ledger = StudyLedger(study, made, writer)
    ledger.open()
    try:
        for trial in project.trials:
            _bring(study, ledger.writer, project, trial)
        # Until here nobody else claims a trial.
        ledger.along.note(NOTE, {**source, "complete": True})
        ledger.flush()
    finally:
        ledger.close("the import ended", broken_off=True)
    return study


def read_project(storage: Storage) -> Project:
    """Reads the files that KerasTuner left in a project's folder.

    Raises:
        ConfigurationError: If they aren't there or can't be read.
    """
    state = _read_json(storage, ORACLE)
    if state is None:
        raise ConfigurationError(
            f"There is no KerasTuner project at {storage.url}: it has no {ORACLE}. Expected <directory>/<project_name>."
        )
    started, ended = (_ids(storage, state, name) for name in ("start_order", "end_order"))
    trials = []
    for number, trial_id in enumerate(started):
        key = f"{_folder_of(trial_id, storage)}/{TRIAL}"
        kept = _read_json(storage, key)
        if kept is None:
            raise ConfigurationError(f"{storage.url}/{key} is missing, although {ORACLE} names that trial.")
        try:
            trial = _checked(Trial.from_state(kept))
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise ConfigurationError(f"{storage.url}/{key} is no trial of KerasTuner: {error!r}.") from error
        trial.trial_id, trial.number = trial_id, number
        trials.append(trial)
    return Project(storage, state, trials, ended)


def _ids(storage: Storage, state: dict[str, Any], name: str) -> list[str]:
    ids = state.get(name)
    if not isinstance(ids, list) or len({str(trial_id) for trial_id in ids}) != len(ids):
        raise ConfigurationError(
            f"{storage.url}/{ORACLE} is no oracle of KerasTuner: {name} is no list of distinct ids."
        )
    for trial_id in ids:
        _folder_of(trial_id, storage)
    return ids


def _checked(trial: Trial) -> Trial:
    """The trial, if it holds what KerasTuner writes.

    Raises:
        ValueError, TypeError: If it doesn't.
    """
    statuses = {value for name, value in vars(TrialStatus).items() if name.isupper()}
    if trial.status not in statuses:
        raise ValueError(f"unknown status {trial.status!r}")
    if trial.status == TrialStatus.COMPLETED and not math.isfinite(trial.score):  # type: ignore[arg-type]
        raise ValueError(f"the score is {trial.score!r}")
    if not isinstance(trial.best_step, (int, type(None))) or not isinstance(trial.message, (str, type(None))):
        raise TypeError("best_step must be a whole number and message a text")
    for name, value in trial.hyperparameters.values.items():
        if not isinstance(value, (bool, int, float, str)) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            raise ValueError(f"the value of {name!r} is {value!r}")
    return trial


def _oracle_of(project: Project, spec: Mapping[str, Any]) -> Oracle:
    try:
        space = HyperParameters.from_config(project.state["hyperparameters"])
        seed = project.state["seed"]
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ConfigurationError(
            f"{project.storage.url}/{ORACLE} is no oracle of KerasTuner: {error!r}."
        ) from error
    oracle = create_oracle({"class": "RandomSearch", "seed": seed, **spec}, hyperparameters=space)
    # They were discovered or given there; here nothing is overridden.
    oracle.overridden = []
    return oracle


def _check(project: Project, oracle: Oracle) -> None:
    """Compares the project with the oracle that is said to be its own.

    Raises:
        ConfigurationError: If they don't fit.
    """
    where, state = f"{project.storage.url}/{ORACLE}", project.state
    marks = {HyperbandOracle: "brackets", BayesianOptimizationOracle: "beta"}
    for cls, mark in marks.items():
        if (mark in state) != isinstance(oracle, cls):
            has = "has" if mark in state else "doesn't have"
            raise ConfigurationError(
                f"{where} {has} {mark!r}, so it is not of the oracle {class_name(oracle)}."
            )
    for name in oracle.fixed_settings:
        if name in state and state[name] != getattr(oracle, name):
            raise ConfigurationError(f"{where} has {name}={state[name]}, not {getattr(oracle, name)}.")
    for trial in project.trials:
        if trial.status != TrialStatus.COMPLETED:
            continue
        again = Trial.from_state(trial.get_state())
        try:
            oracle.score_trial(again)
        except (KeyError, ValueError) as error:
            raise ConfigurationError(
                f"Trial {trial.trial_id} of {project.storage.url} has no score for the objective {oracle.objective}: "
                f"{error} Name the project's objective."
            ) from error
        if (
            trial.score is None
            or again.score is None
            or not math.isclose(again.score, trial.score, rel_tol=1e-6)
        ):
            raise ConfigurationError(
                f"Trial {trial.trial_id} of {project.storage.url} has the score {trial.score}, and the objective "
                f"{oracle.objective} gives {again.score}. Name the project's objective."
            )
    limit = oracle.max_trials
    if limit is not None and limit < len(project.trials):
        raise ConfigurationError(
            f"The project {project.storage.url} has {len(project.trials)} trials already, more than max_trials={limit}."
        )


def _bring(study: Study, writer: Writer, project: Project, trial: Trial) -> None:
    """Claims and finishes one trial, with its files; one that had not ended is left to be run again."""
    trial_id = trial.trial_id
    lease = study.state.leases.get(trial_id)
    if lease is not None and lease["state"] == "ended":
        return
    has_ended = trial.status in (TrialStatus.COMPLETED, TrialStatus.FAILED)
    attempt = 1 if lease is None else lease["attempt"] + 1
    fresh = Trial(trial.hyperparameters, trial_id)
    fresh.number = trial.number
    path = ["oracle", "trials", trial_id]
    claim = Draft("claim", trial_id, attempt, [["set", path, plain(fresh.to_record())]], {"lease_s": None})
    study.commit(writer, lambda _: claim)
    if not has_ended:
        return
    trial.runs, trial.ended = 1, project.ended.index(trial_id) if trial_id in project.ended else None
    with tempfile.TemporaryDirectory(prefix="ktcomponent-") as scratch:
        folder = Path(scratch)
        prefix = _folder_of(trial_id, project.storage)
        for key in project.storage.list(prefix):
            name = key.removeprefix(f"{prefix}/")
            if name != TRIAL and not _is_link(project.storage, key):
                project.storage.download(key, folder / name)
        files = artifacts.upload(study.storage, study.state.generation, trial_id, attempt, folder)
    record = [["set", path, plain(trial.to_record())]]
    finish = Draft("finish", trial_id, attempt, record, {"files": files})
    study.commit(writer, lambda _: finish)


def _folder_of(trial_id: Any, storage: Storage) -> str:
    if not isinstance(trial_id, str) or not trial_id or "/" in trial_id or "\\" in trial_id:
        raise ConfigurationError(
            f"{storage.url}/{ORACLE} names a trial {trial_id!r}, which is no trial's id."
        )
    return f"trial_{trial_id}"


def _is_link(storage: Storage, key: str) -> bool:
    """Whether a file of a local project is a link, which may lead to what isn't the project's."""
    return isinstance(storage, LocalStorage) and (storage.root / key).is_symlink()


def _read_json(storage: Storage, key: str) -> dict[str, Any] | None:
    data = storage.get(key)
    if data is None:
        return None
    try:
        read = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{storage.url}/{key} is no JSON: {error}.") from error
    if not isinstance(read, dict):
        raise ConfigurationError(f"{storage.url}/{key} is no JSON object.")
    return read
