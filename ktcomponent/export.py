"""Publishing the result of a search: best hyperparameters, models, the table of trials, and a manifest."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import io
import json
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ktcomponent.console import say
from ktcomponent.errors import ConfigurationError, TooFewTrials
from ktcomponent.step.plan import Plan
from ktcomponent.storage import Storage, open_storage
from ktcomponent.study import Study, Writer, artifacts, incarnations, layout
from ktcomponent.study.ranking import best_trials
from ktcomponent.study.state import StudyState

MANIFEST = "manifest.json"
HYPERPARAMETERS = "best_hyperparameters.json"
TRIALS = "trials.csv"

_LIBRARIES = (
    "ktcomponent",
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "numpy",
    "scipy",
    "scikit-learn",
    "fsspec",
)


def export(
    study_url: str,
    to: str | None = None,
    *,
    plan: Plan | None = None,
    top_k: int = 1,
    min_trials: int = 1,
    saved_model: bool = False,
    retrain: bool = False,
    storage_options: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[str, dict[str, Any]]:
    """Writes the result of a study to a folder; the manifest comes last, so who sees it sees a whole export.

    Args:
        study_url: The study.
        to: The folder; `exports/commit-<n>` of the study by default. An export that lies there is replaced.
        plan: With a hypermodel, to rebuild models; None exports none.
        top_k: How many models.
        min_trials: How many trials must have completed.
        saved_model: Whether to write each Keras model as a TensorFlow SavedModel too.
        retrain: Whether the best trial's model is trained anew, with the plan's search arguments, instead of loading what
            the best trials saved: one model then.
        storage_options: Arguments of the study's file system; the folder's too, where it is of the same kind.

    Returns:
        The folder's URL and the manifest. `partial` in it says that the search had not run all its trials: it goes on, or
        was stopped before.

    Raises:
        TooFewTrials: If fewer trials completed.
    """
    study = Study.open(open_storage(study_url, **storage_options))
    state = study.state
    best = best_trials(state)
    if len(best) < max(min_trials, 1):
        raise TooFewTrials(
            f"The study {study.url} has {len(best)} completed trials; an export needs at least {max(min_trials, 1)}. "
            "Run more trials, or lower min_trials."
        )
    target_url = to or f"{study_url.rstrip('/')}/{layout.export(f'commit-{state.seq}')}"
    alike = target_url.split("://")[0] == study_url.split("://")[0]
    target = open_storage(target_url, **(storage_options if alike else {}))
    with tempfile.TemporaryDirectory(prefix="ktcomponent-") as scratch:
        folder = Path(scratch, "export")
        folder.mkdir()
        (folder / HYPERPARAMETERS).write_text(_hyperparameters_json(state, best[0]))
        (folder / TRIALS).write_text(trials_table(state), newline="")
        models = []
        if plan is not None:
            write = _write_retrained if retrain else _write_models
            models = write(plan, study, best[:top_k], folder, Path(scratch, "trials"), saved_model)
        manifest = _manifest(state, study.url, best[0], models, folder)
        _publish(target, folder, manifest)
    return target.url, manifest


def read_manifest(target: Storage) -> dict[str, Any]:
    """The manifest of an export.

    Raises:
        ConfigurationError: If there is no (whole) export.
    """
    data = target.get(MANIFEST)
    if data is None:
        raise ConfigurationError(f"There is no export at {target.url}: it has no {MANIFEST}.")
    manifest: dict[str, Any] = json.loads(data)
    return manifest


def trials_table(state: StudyState) -> str:
    """All trials as CSV: one line a trial, its values under `hp.<name>`."""
    names = list(dict.fromkeys(name for trial in state.trials.values() for name in trial["values"]))
    fixed = ["trial", "number", "status", "score", "best_step", "attempts"]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow([*fixed, *(f"hp.{name}" for name in names), "message"])
    for trial_id, trial in sorted(state.trials.items(), key=lambda item: item[1]["number"]):
        attempts = state.leases.get(trial_id, {}).get("attempt", 0)
        row = [trial_id, trial["number"], trial["status"], trial["score"], trial["best_step"], attempts]
        values = [trial["values"].get(name, "") for name in names]
        table.writerow([*row, *values, (trial["message"] or "").strip().split("\n")[-1]])
    return text.getvalue()


def _hyperparameters_json(state: StudyState, trial_id: str) -> str:
    trial = state.trials[trial_id]
    space = state.document["oracle"]["hyperparameters"]["space"]
    best = {
        "trial_id": trial_id,
        "objective": state.config["oracle"]["objective"],
        "score": trial["score"],
        "values": trial["values"],
        "hyperparameters": {"space": space, "values": trial["values"]},
    }
    return json.dumps(best, indent=2) + "\n"


def _write_models(
    plan: Plan, study: Study, trial_ids: Sequence[str], folder: Path, scratch: Path, saved_model: bool
) -> list[dict[str, Any]]:
    """Lets the tuner write the models of the best trials; none where the trials saved none."""
    from ktcomponent.step import resolve
    from ktcomponent.tuners.tuner import Tuner

    state = study.state
    saved = [i for i in trial_ids if state.leases.get(i, {}).get("files")]
    if not saved:
        return []
    tuner = _tuner(plan, study, scratch)
    if plan.search_args is not None and isinstance(tuner, Tuner):
        args, kwargs = resolve.load_search_arguments(plan)
        tuner.sample = _one_batch(args[0] if args else kwargs.get("x"))
    models = []
    for rank, trial_id in enumerate(saved, start=1):
        written = tuner.export_model(
            tuner.oracle.trials[trial_id], folder, f"model_{rank}", saved_model=saved_model
        )
        if written is None:
            say(f"Trial {trial_id} has files and no model that can be exported.")
        else:
            models.append({**written, "trial": trial_id, "score": state.trials[trial_id]["score"]})
    return models


def _write_retrained(
    plan: Plan, study: Study, trial_ids: Sequence[str], folder: Path, scratch: Path, saved_model: bool
) -> list[dict[str, Any]]:
    """Trains the best trial's model anew and writes it.

    Raises:
        ConfigurationError: If what is tuned is no Keras model.
    """
    from ktcomponent.step import resolve
    from ktcomponent.tuners.function_tuner import BLACK_BOX
    from ktcomponent.tuners.keras_support import write_model
    from ktcomponent.tuners.tuner import Tuner

    best, state = trial_ids[0], study.state
    tuner = _tuner(plan, study, scratch)
    if not isinstance(tuner, Tuner) or state.config.get("kind") == BLACK_BOX:
        raise ConfigurationError(
            f"Only Keras models can be trained anew, and {plan.hypermodel!r} builds none."
        )
    args, kwargs = resolve.load_search_arguments(plan)
    say(f"training trial {best} anew for {(state.trials[best]['best_step'] or 0) + 1} epochs")
    model = tuner.retrain(tuner.oracle.trials[best], *args, **kwargs)
    written = write_model(model, folder, "model_1", saved_model)
    return [{**written, "trial": best, "score": state.trials[best]["score"], "retrained": True}]


def _tuner(plan: Plan, study: Study, scratch: Path) -> Any:
    """The tuner of a plan, which reads the study and commits nothing."""
    from ktcomponent.step import resolve
    from ktcomponent.tuners.host import Host, Limits, hosting

    writer = Writer(plan.owner or incarnations.new_owner(), incarnations.new_incarnation())
    with hosting(Host(study.storage, writer, scratch, Limits(), writes=False)):
        return resolve.make_tuner(plan, study.state)


def _one_batch(data: Any) -> Any:
    """The first inputs of arrays, of a structure of arrays, or of a dataset of (inputs, targets)."""
    import keras

    if data is None:
        return None
    if hasattr(data, "shape") or isinstance(data, (dict, list, tuple)):
        return keras.tree.map_structure(lambda array: array[:1], data)
    first = next(iter(data))
    return first[0] if isinstance(first, tuple) else first


def _manifest(
    state: StudyState, url: str, best: str, models: list[dict[str, Any]], folder: Path
) -> dict[str, Any]:
    statuses = [trial["status"] for trial in state.trials.values()]
    return {
        "format": 1,
        "study": url,
        "study_id": state.study_id,
        "generation": state.generation,
        "commit": state.seq,
        "partial": _is_partial(state),
        "trial": best,
        "objective": state.config["oracle"]["objective"],
        "score": state.trials[best]["score"],
        "trials": {status: statuses.count(status) for status in sorted(set(statuses))},
        "models": models,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_versions()},
        "files": [
            {
                "name": path.relative_to(folder).as_posix(),
                "size": path.stat().st_size,
                "sha256": artifacts.digest(path),
            }
            for path in sorted(p for p in folder.rglob("*") if p.is_file())
        ],
    }


def _is_partial(state: StudyState) -> bool:
    return state.stop is None or state.stop["reason"] != incarnations.EXHAUSTED or bool(state.running())


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _publish(target: Storage, folder: Path, manifest: dict[str, Any]) -> None:
    target.check_writable()
    before = _listed_files(target)
    target.delete(MANIFEST)
    names = [file["name"] for file in manifest["files"]]
    for name in sorted(before - set(names)):
        target.delete(name)
    for name in names:
        target.upload(folder / name, name)
    target.put(MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())


def _listed_files(target: Storage) -> set[str]:
    """The files of the export that lies at the target, if one does."""
    try:
        return {str(file["name"]) for file in read_manifest(target)["files"]}
    except (ConfigurationError, ValueError, KeyError, TypeError):
        return set()
