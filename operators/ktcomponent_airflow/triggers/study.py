"""Waiting for a study: what for, and the trigger that looks in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from ktcomponent.errors import KtcomponentError, StorageError
from ktcomponent_airflow.triggers import settling


def look(
    study: str, conn_id: str | None, options: dict[str, Any], trials: int | None, score: float | None
) -> dict[str, Any] | None:
    """What a study says once it is as far as is waited for, None before.

    Args:
        study: Its URL.
        conn_id: Airflow connection of its storage.
        options: Further arguments of its file system.
        trials: Wait for so many completed trials.
        score: Wait for a score that is as good.

    Returns:
        `{"study", "status", "completed", "failed", "best_score", "met"}`; `met` is False where the search ended before.
    """
    from ktcomponent import report
    from ktcomponent.objective import create_objective
    from ktcomponent.storage import open_storage
    from ktcomponent.study import Study
    from ktcomponent_airflow.connections import file_system_options

    secret = file_system_options(conn_id, study) if conn_id else {}
    found = Study.find(open_storage(study, **{**secret, **options}))
    if found is None:
        return None
    told = report.status(found)
    summary = report.summary(told)
    best, is_over = summary["best_score"], told["status"] == "done"
    met = trials is None and score is None and is_over
    if trials is not None:
        met = summary["completed"] >= trials
    elif score is not None and best is not None:
        objective = create_objective(told["oracle"]["objective"])
        met = best == score or objective.better_than(best, score)
    return {**summary, "met": met} if met or is_over else None


class StudyTrigger(BaseTrigger):
    """Looks at a study from time to time; see `StudySensor`. Holds the id of a connection, no credentials."""

    def __init__(
        self,
        study: str,
        conn_id: str | None = None,
        options: dict[str, Any] | None = None,
        trials: int | None = None,
        score: float | None = None,
        every: float = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.study = study
        self.conn_id = conn_id
        self.options = options or {}
        self.trials = trials
        self.score = score
        self.every = every

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("study", "conn_id", "options", "trials", "score", "every")
        return f"{type(self).__module__}.{type(self).__qualname__}", {n: getattr(self, n) for n in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(settling.SETTLE_S)
        while True:
            try:
                told = await sync_to_async(look, thread_sensitive=False)(
                    self.study, self.conn_id, self.options, self.trials, self.score
                )
            except StorageError as error:
                self.log.warning("%s Looking again.", error)
                told = None
            except Exception as error:  # noqa: BLE001 - it ends the task, with its message
                is_permanent = isinstance(error, (KtcomponentError, AirflowFailException))
                told = {"error": f"{type(error).__name__}: {error}", "is_permanent": is_permanent}
                yield TriggerEvent(told)  # type: ignore[no-untyped-call]
                return
            if told is not None:
                yield TriggerEvent(told)  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.every)
