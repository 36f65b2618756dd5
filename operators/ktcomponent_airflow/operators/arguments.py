"""An operator's arguments as a command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from ktcomponent.storage.secret import has_credentials, is_secret, names_in

if TYPE_CHECKING:
    from ktcomponent_airflow.operators.command import CommandOperator

RUN_FOLDER = "{{ dag.dag_id }}/{{ run_id | replace(':', '') | replace('+', '-') }}"
"""A folder name for each DAG run, to put behind a base URL: run ids hold characters that not every storage
takes."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "prepare": (),
    "step": ("batch_size", "max_runtime", "deadline", "max_wait"),
    "export": ("to", "top_k", "min_trials", "saved_model", "retrain"),
}
"""By command: the arguments that it alone takes."""

LEAST = {"batch_size": 1, "top_k": 1, "min_trials": 1, "max_runtime": 0, "max_wait": 0}


def wrong_arguments(operator: CommandOperator) -> str | None:
    """What is wrong with an operator's arguments, if anything."""
    if operator.command not in COMMANDS:
        return f"`command` is {operator.command!r}; expected one of {', '.join(map(repr, COMMANDS))}."
    for command, names in COMMANDS.items():
        given = [name for name in names if getattr(operator, name) not in (None, False)]
        if command != operator.command and given:
            return f"`{given[0]}` belongs to the command {command!r}, not to {operator.command!r}."
    for name, least in LEAST.items():
        value = getattr(operator, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            return f"`{name}` must be a number, got {value!r}."
        if value is not None and value < least:
            return f"`{name}` must be at least {least}, got {value!r}."
    if isinstance(operator.study, str) and not operator.study.strip():
        return "`study` is empty; expected the URL of the study."
    if problem := shown_secret(
        [operator.study, operator.to, *(operator.warm_start or ())], operator.storage_options
    ):
        return problem
    gpus = operator.gpus
    if gpus not in (None, "all") and (isinstance(gpus, bool) or not isinstance(gpus, int) or gpus < 0):
        return f"`gpus` must be a whole number or 'all', got {gpus!r}."
    if gpus and not (operator.command == "step" or operator.retrain):
        return f"the command {operator.command!r} trains nothing, so it takes no `gpus`."
    if operator.command != "export" and operator.hypermodel is None:
        return f"the command {operator.command!r} needs `hypermodel`, what is tuned."
    return None


def shown_secret(urls: Sequence[Any], storage_options: Mapping[str, Any] | None) -> str | None:
    """What would show credentials to everybody who may see a DAG, if anything."""
    for url in urls:
        if isinstance(url, str) and has_credentials(url):
            return "a URL has credentials in it, which everybody would see; give them by `storage_conn_id`."
    if secret := [name for name in names_in(storage_options or {}) if is_secret(name)]:
        return (
            f"`storage_options` has {secret[0]!r}, which everybody would see; give it by `storage_conn_id`."
        )
    return None


def options_of(operator: CommandOperator, owner: str) -> list[str]:
    """The command line, without the program: the command's name, then its options."""
    shared = {
        "owner": owner,
        "hypermodel": operator.hypermodel,
        "search-args": operator.search_args,
        "search-kwargs": operator.search_kwargs,
        "oracle": operator.oracle,
        "warm-start": operator.warm_start,
        "storage-options": operator.storage_options,
    }
    match operator.command:
        case "prepare":
            own: dict[str, Any] = _settings(operator)
        case "step":
            own = {
                "gpus": 1 if operator.gpus == "all" else operator.gpus,
                "batch-size": operator.batch_size,
                "max-runtime": operator.max_runtime,
                "deadline": operator.deadline,
                "max-wait": operator.max_wait,
                **_settings(operator),
            }
        case _:
            names = {"--saved-model": operator.saved_model, "--retrain": operator.retrain}
            flags = [name for name, is_set in names.items() if is_set]
            own = {"to": operator.target, "top-k": operator.top_k, "min-trials": operator.min_trials}
            return ["export", operator.study, *_as_options({**shared, **own}), *flags]
    return [operator.command, "--study", operator.study, *_as_options({**shared, **own})]


def owner_of(task_instance: Any) -> str:
    """Who claims trials: this task instance, the same one in every try."""
    ti = task_instance
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"


def tries_since_clear(task_instance: Any, retries: int) -> int:
    """How many tries there were, this one included, since the task was last cleared, or from its beginning.

    Clearing makes `max_tries` the number of tries so far and all retries once more.
    """
    ti = task_instance
    return int(ti.try_number) - (int(ti.max_tries) - retries)


def plain_url(url: Any) -> tuple[Any, str | None]:
    """An `ObjectStoragePath` as a URL and its connection; anything else as it is."""
    if not hasattr(url, "protocol") or not hasattr(url, "path"):
        return url, None
    # Airflow 3.3 has an attribute for it; before, it is among the options.
    conn_id = getattr(url, "conn_id", None) or dict(url.storage_options).get("conn_id")
    return f"{url.protocol}://{str(url.path).lstrip('/') if url.protocol != 'file' else url.path}", conn_id


def check_rendered(name: str, url: Any) -> None:
    """Checks a URL whose template is rendered.

    Raises:
        AirflowFailException: If nothing came of it.
    """
    text = str(url).strip()
    if text.rstrip("/") in ("", "None") or text.endswith("://"):
        raise AirflowFailException(
            f"The URL `{name}` is {url!r} once its template is rendered. Expected an fsspec URL such as gs://bucket/folder."
        )


def _settings(operator: CommandOperator) -> dict[str, Any]:
    from ktcomponent_airflow.configuration import configured

    given = dict(operator.settings or {})
    keep = configured("keep_checkpoints")
    return {"keep-checkpoints": keep, **given} if keep else given


def _as_options(values: dict[str, Any]) -> list[str]:
    """What is None is left out, of a list each is an option, what isn't text becomes JSON."""
    options: list[str] = []
    for name, value in values.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                options += [f"--{name}", each if isinstance(each, str) else json.dumps(each)]
    return options
