"""`TuningTaskGroup`: a whole search as tasks."""

from __future__ import annotations

import math
from typing import Any

from airflow.providers.common.compat.sdk import TaskGroup, TriggerRule

from ktcomponent.errors import ConfigurationError
from ktcomponent.oracles.registry import create_oracle
from ktcomponent_airflow.operators.local import ExportOperator, PrepareOperator, TuningOperator

RUN_FOLDER = "{{ dag.dag_id }}/{{ run_id | replace(':', '') | replace('+', '-') }}"
"""A folder name for each DAG run, to put behind a base URL: run ids hold characters that not every storage
takes."""


class TuningTaskGroup(TaskGroup):
    """Prepares a study, runs its trials in lanes of batches, and exports the result.

        prepare >> [ batch_1 > batch_2 > ... ]  lane_1 \\
                >> [ batch_1 > batch_2 > ... ]  lane_2  >  export

    Lanes share the study. Every lane has enough batches to finish the search alone, and its last one runs
    whatever is left; when the search is over the rest is skipped. A batch that fails does not end its lane,
    and the export decides from the study whether there is enough to publish.

    Args:
        group_id: The group's id.
        study: See `TuningOperator`.
        hypermodel: See `TuningOperator`.
        oracle: See `TuningOperator`.
        search_args: See `TuningOperator`.
        search_kwargs: See `TuningOperator`.
        lanes: How many batches run side by side.
        batch_size: Trials a batch.
        batches: Batches a lane; by default as many as the oracle's planned trials need.
        max_runtime: Seconds a batch; see `TuningOperator`.
        deadline: See `TuningOperator`.
        max_wait: See `TuningOperator`.
        to: Where the export goes; see `ExportOperator`.
        top_k: How many models are exported.
        min_trials: Fail the export with fewer completed trials.
        saved_model: Whether models are exported as TensorFlow SavedModels too.
        settings, storage_options: See `TuningOperator`.
        env: See `TuningOperator`.
        task_args: Arguments of `BaseOperator` for all tasks, for example pool, queue or retries.
        kwargs: See `TaskGroup`.

    Raises:
        ConfigurationError: If the oracle can't be made, or plans no number of trials and `batches` is left out.
    """

    def __init__(
        self,
        group_id: str = "tuning",
        *,
        study: str,
        hypermodel: str,
        oracle: dict[str, Any],
        search_args: str | None = None,
        search_kwargs: dict[str, Any] | None = None,
        lanes: int = 1,
        batch_size: int = 5,
        batches: int | None = None,
        max_runtime: float | None = None,
        deadline: str | None = None,
        max_wait: float | None = None,
        to: str | None = None,
        top_k: int = 1,
        min_trials: int = 1,
        saved_model: bool = False,
        settings: dict[str, Any] | None = None,
        storage_options: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        task_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(group_id=group_id, **kwargs)
        count = batches if batches is not None else _batches(oracle, batch_size)
        common: dict[str, Any] = {
            "study": study,
            "hypermodel": hypermodel,
            "search_args": search_args,
            "search_kwargs": search_kwargs,
            "oracle": oracle,
            "settings": settings,
            "storage_options": storage_options,
            "env": env,
            **(task_args or {}),
        }
        batch: dict[str, Any] = {
            **common,
            "max_runtime": max_runtime,
            "deadline": deadline,
            "max_wait": max_wait,
        }
        with self:
            prepare = PrepareOperator(task_id="prepare", **common)
            export = ExportOperator(
                task_id="export",
                to=to,
                top_k=top_k,
                min_trials=min_trials,
                saved_model=saved_model,
                trigger_rule=TriggerRule.ALL_DONE,
                **common,
            )
            for lane in range(1, lanes + 1):
                before: Any = prepare
                for number in range(1, count + 1):
                    task = TuningOperator(
                        task_id=f"lane_{lane}_batch_{number}",
                        batch_size=batch_size if number < count else None,
                        trigger_rule=TriggerRule.ALL_SUCCESS if number == 1 else TriggerRule.NONE_SKIPPED,
                        **batch,
                    )
                    before >> task
                    before = task
                before >> export


def _batches(oracle: dict[str, Any], batch_size: int) -> int:
    # A user's class is not imported here: a DAG file has to stay light.
    is_built_in = ":" not in str(oracle.get("class", ""))
    planned = create_oracle(oracle).planned_trials() if is_built_in else oracle.get("max_trials")
    if planned is None:
        raise ConfigurationError(
            "The oracle sets no number of trials, so `batches` must say how many batches a lane has."
        )
    return math.ceil(planned / batch_size)
