"""`TuningTaskGroup`: a whole search as tasks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, TaskGroup, TriggerRule, XComArg

from ktcomponent.errors import ConfigurationError
from ktcomponent_airflow.operators.local import TuningOperator


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
        operator: The class of all tasks: `TuningOperator`, `DockerTuningOperator` or `KubernetesTuningOperator`.
        task_args: Arguments of that class for all tasks, for example image, pool, queue or retries.
        search_args: See `TuningOperator`.
        search_kwargs: See `TuningOperator`.
        lanes: How many batches run side by side; or the output of a task that returns the number at run time.
        batch_size: Trials a batch.
        batches: Batches a lane; by default as many as the oracle's planned trials need.
        gpus: GPUs of each batch, and of retraining.
        max_runtime: Seconds a batch; see `TuningOperator`.
        deadline: See `TuningOperator`.
        max_wait: See `TuningOperator`.
        to: Where the export goes; see `TuningOperator`.
        top_k: How many models are exported.
        min_trials: Fail the export with fewer completed trials.
        saved_model: Whether models are exported as TensorFlow SavedModels too.
        retrain: Import path of a function that returns the `(args, kwargs)` of a last training, with all the data, say: the
            best model is trained anew with them before it is exported.
        warm_start, settings, storage_conn_id, storage_options: See `TuningOperator`.
        env: See `TuningOperator`.
        batch_args: Arguments of the class for batches alone, for example execution_timeout or
            max_active_tis_per_dagrun.
        kwargs: See `TaskGroup`.

    Raises:
        ConfigurationError: If the oracle can't be made, or plans no number of trials and `batches` is left out, or there
            are no lanes.
    """

    def __init__(
        self,
        group_id: str = "tuning",
        *,
        study: Any = None,
        hypermodel: str | Callable[..., Any],
        oracle: dict[str, Any],
        operator: type[Any] = TuningOperator,
        task_args: dict[str, Any] | None = None,
        search_args: str | None = None,
        search_kwargs: dict[str, Any] | None = None,
        lanes: Any = 1,
        batch_size: int = 5,
        batches: int | None = None,
        gpus: int | str | None = None,
        max_runtime: float | None = None,
        deadline: str | None = None,
        max_wait: float | None = None,
        to: Any = None,
        top_k: int = 1,
        min_trials: int = 1,
        saved_model: bool = False,
        retrain: str | None = None,
        warm_start: Any = None,
        settings: dict[str, Any] | None = None,
        storage_conn_id: str | None = None,
        storage_options: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        batch_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(group_id=group_id, **kwargs)
        for name, value in (("batch_size", batch_size), ("batches", batches), ("lanes", lanes)):
            if isinstance(value, XComArg) or (name == "batches" and value is None):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(
                    f"`{name}` of {group_id!r} must be a whole number of at least 1, got {value!r}."
                )
        if batches is None and not isinstance(oracle, dict):
            raise ConfigurationError(
                f"`oracle` of {group_id!r} must be a dict of its class and arguments, got {oracle!r}."
            )
        self._operator = operator
        self._count = batches if batches is not None else _batches(oracle, batch_size)
        self._batch_size = batch_size
        common: dict[str, Any] = {
            "study": study,
            "hypermodel": hypermodel,
            "search_args": search_args,
            "search_kwargs": search_kwargs,
            "oracle": oracle,
            "warm_start": warm_start,
            "settings": settings,
            "storage_conn_id": storage_conn_id,
            "storage_options": storage_options,
            "env": env,
            **(task_args or {}),
        }
        self._batch_args: dict[str, Any] = {
            **common,
            "gpus": gpus,
            "max_runtime": max_runtime,
            "deadline": deadline,
            "max_wait": max_wait,
            **(batch_args or {}),
        }
        with self:
            # A setup, since later batches run after failed ones, and after a failed preparation nothing should.
            prepare = operator(task_id="prepare", command="prepare", **common).as_setup()
            export = operator(
                task_id="export",
                command="export",
                to=to,
                top_k=top_k,
                min_trials=min_trials,
                saved_model=saved_model,
                trigger_rule=TriggerRule.ALL_DONE,
                **{**common, **({"search_args": retrain, "retrain": True, "gpus": gpus} if retrain else {})},
            )
            if isinstance(lanes, XComArg):
                prepare >> self._mapped_lanes(lanes) >> export
            else:
                for lane in range(1, lanes + 1):
                    first, last = self._lane(f"lane_{lane}_")
                    prepare >> first
                    last >> export

    def _lane(self, prefix: str) -> tuple[Any, Any]:
        """The first and the last batch of a lane."""
        first = before = None
        for number in range(1, self._count + 1):
            task = self._operator(
                task_id=f"{prefix}batch_{number}",
                batch_size=self._batch_size if number < self._count else None,
                trigger_rule=TriggerRule.ALL_SUCCESS if number == 1 else TriggerRule.NONE_SKIPPED,
                **self._batch_args,
            )
            if before is None:
                first = task
            else:
                before >> task
            before = task
        return first, before

    def _mapped_lanes(self, lanes: XComArg) -> Any:
        """A lane for each number that a task makes of their count."""
        from airflow.providers.common.compat.sdk import task, task_group

        @task(task_id="lanes")
        def numbers(count: int) -> list[int]:
            return lane_numbers(count)

        @task_group(group_id="lane")
        def lane(number: int) -> None:
            del number
            self._lane("")

        return lane.expand(number=numbers(lanes))  # type: ignore[arg-type]


def lane_numbers(count: Any) -> list[int]:
    """1 to the number of lanes.

    Raises:
        AirflowFailException: If it is no number of lanes.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise AirflowFailException(f"`lanes` must come as a whole number of at least 1, got {count!r}.")
    return list(range(1, count + 1))


def _batches(oracle: dict[str, Any], batch_size: int) -> int:
    from ktcomponent.oracles.registry import create_oracle

    # A user's class is not imported here: a DAG file has to stay light.
    is_built_in = ":" not in str(oracle.get("class", ""))
    planned = create_oracle(oracle).planned_trials() if is_built_in else oracle.get("max_trials")
    if planned is None:
        raise ConfigurationError(
            "The oracle sets no number of trials, so `batches` must say how many batches a lane has."
        )
    return math.ceil(planned / batch_size)
