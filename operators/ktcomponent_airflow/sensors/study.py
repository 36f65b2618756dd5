"""`StudySensor`: waits for a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
    conf,
)

from ktcomponent.errors import ConfigurationError, KtcomponentError, StorageError
from ktcomponent_airflow.links import StudyLink
from ktcomponent_airflow.operators.arguments import check_rendered, plain_url, shown_secret


class StudySensor(BaseSensorOperator):
    """Waits until a search is over, or has so many completed trials, or a score that is as good.

    Args:
        study: URL of the study, or an `ObjectStoragePath`; it may not exist yet. (templated)
        trials: Wait for so many completed trials.
        score: Wait for a score that is as good as this, by the study's objective.
        storage_conn_id: Airflow connection with the credentials of the study's storage. (templated)
        storage_options: Further arguments of the file system, without credentials.
        deferrable: Whether to wait in the triggerer, where it needs no worker.
        kwargs: See `BaseSensorOperator`: `poke_interval`, `timeout`, `mode`, ...

    Returns (as XCom):
        `{"study", "status", "completed", "failed", "best_score"}`.

    Raises:
        ConfigurationError: If both trials and score are given, or credentials that everybody would see.

    Example:

        StudySensor(task_id="good_enough", study="gs://tuning/churn", score=0.95)
    """

    template_fields: Sequence[str] = ("study", "storage_conn_id")
    operator_extra_links = (StudyLink(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        study: Any,
        trials: int | None = None,
        score: float | None = None,
        storage_conn_id: str | None = None,
        storage_options: dict[str, Any] | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if trials is not None and score is not None:
            raise ConfigurationError("Give `trials` or `score`, not both.")
        if trials is not None and (isinstance(trials, bool) or not isinstance(trials, int) or trials < 1):
            raise ConfigurationError(f"`trials` must be a whole number of at least 1, got {trials!r}.")
        self.study, own_conn_id = plain_url(study)
        self.trials = trials
        self.score = score
        self.storage_conn_id = storage_conn_id or own_conn_id
        self.storage_options = storage_options
        self.deferrable = deferrable
        if problem := self._shown_secret():
            raise ConfigurationError(f"StudySensor {self.task_id!r}: {problem}")

    def poke(self, context: Context) -> PokeReturnValue:
        from ktcomponent_airflow.triggers.study import look

        del context
        try:
            told = look(
                str(self.study), self.storage_conn_id, self.storage_options or {}, self.trials, self.score
            )
        except StorageError as error:
            self.log.warning("%s Looking again.", error)
            told = None
        except KtcomponentError as error:
            raise AirflowFailException(str(error)) from error
        if told is None:
            return PokeReturnValue(False)
        return PokeReturnValue(True, _result(told))

    def execute(self, context: Context) -> Any:
        check_rendered("study", self.study)
        # Of a template only now.
        if problem := self._shown_secret():
            raise AirflowFailException(problem)
        if not self.deferrable:
            return super().execute(context)
        from ktcomponent_airflow.triggers.study import StudyTrigger

        trigger = StudyTrigger(
            str(self.study),
            self.storage_conn_id,
            self.storage_options,
            self.trials,
            self.score,
            float(self.poke_interval),
        )
        return self.defer(trigger=trigger, method_name="told", timeout=self._time_left())

    def told(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Goes on where the trigger has seen what is waited for."""
        del context
        if "error" in event:
            raise (AirflowFailException if event["is_permanent"] else AirflowException)(event["error"])
        return _result(event)

    def _shown_secret(self) -> str | None:
        return shown_secret([self.study], self.storage_options)

    def _time_left(self) -> Any:
        import datetime

        return None if self.timeout is None else datetime.timedelta(seconds=self.timeout)


def _result(told: dict[str, Any]) -> dict[str, Any]:
    """What is returned.

    Raises:
        AirflowFailException: If the search ended before it was as far.
    """
    result = {name: value for name, value in told.items() if name != "met"}
    if not told["met"]:
        raise AirflowFailException(
            f"The search is over with {result['completed']} completed trials and the best score {result['best_score']}: "
            "what this sensor waits for will not come."
        )
    return result
