"""What every operator shares: its arguments as a command line, and the command's exit code as an outcome."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    Context,
)

from ktcomponent.step import exit_codes


class CommandOperator(BaseOperator):
    """Runs one `ktcomponent` command; a subclass says where.

    A try that ends with 2 (a retry can't help) fails the task for good, one that ends with 99 (the search is
    over) skips it, any other failure is retried. Preemptions spend retries too, so there are many by default.

    Args:
        study: URL of the study. (templated)
        hypermodel: Import path of what is tuned, as `package.module:name`. (templated)
        search_args: Import path of a function that returns the `(args, kwargs)` of `search`. (templated)
        search_kwargs: Keyword arguments of `search`, laid over those; JSON values. (templated)
        oracle: Class and constructor arguments of the oracle; JSON values. (templated)
        settings: The study's own: "lease", "keep-checkpoints", "checkpoint-every"; see `ktcomponent prepare --help`.
        storage_options: Arguments of the study's fsspec file system, without credentials.
        env: Environment variables added for the command. (templated)
        kwargs: See `BaseOperator`; 20 retries with exponential backoff by default.
    """

    template_fields: Sequence[str] = ("study", "hypermodel", "search_args", "search_kwargs", "oracle", "env")
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        study: str,
        hypermodel: str | None = None,
        search_args: str | None = None,
        search_kwargs: dict[str, Any] | None = None,
        oracle: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        storage_options: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        retries: int = 20,
        retry_delay: datetime.timedelta = datetime.timedelta(seconds=15),
        # True doubles the delay in every Airflow 3; a number is not known to 3.1.
        retry_exponential_backoff: bool | float = True,
        max_retry_delay: datetime.timedelta = datetime.timedelta(minutes=10),
        **kwargs: Any,
    ) -> None:
        super().__init__(
            retries=retries,
            retry_delay=retry_delay,
            retry_exponential_backoff=retry_exponential_backoff,
            max_retry_delay=max_retry_delay,
            **kwargs,
        )
        self.study = study
        self.hypermodel = hypermodel
        self.search_args = search_args
        self.search_kwargs = search_kwargs
        self.oracle = oracle
        self.settings = settings
        self.storage_options = storage_options
        self.env = env

    def command(self, context: Context) -> list[str]:
        """The command's arguments, without the program."""
        raise NotImplementedError

    def run_command(self, arguments: list[str], context: Context) -> int:
        """Runs the command where this operator runs it, streaming its output; returns its exit code."""
        raise NotImplementedError

    def result(self) -> dict[str, Any]:
        """What a finished task returns as its XCom: small, and free of NaN."""
        from ktcomponent import report
        from ktcomponent.storage import open_storage
        from ktcomponent.study import Study

        told = report.status(Study.open(open_storage(self.study, **(self.storage_options or {}))))
        best = told["best"]
        return {
            "study": self.study,
            "status": told["status"],
            "completed": told["trials"]["completed"],
            "failed": told["trials"]["failed"],
            "best_score": best["score"] if best else None,
        }

    def execute(self, context: Context) -> dict[str, Any]:
        code = self.run_command(self.command(context), context)
        if code == exit_codes.DONE:
            return self.result()
        if code == exit_codes.SEARCH_OVER:
            raise AirflowSkipException("The search is over: nothing is left to do.")
        if code == exit_codes.BAD_CONFIGURATION:
            raise AirflowFailException("ktcomponent ended with 2: a retry can't help. Its message is above.")
        raise AirflowException(f"ktcomponent ended with {code}; another try goes on where this one was.")

    def common_options(self, context: Context) -> list[str]:
        """The options that `prepare`, `step` and `export` share."""
        return options_of(
            {
                "owner": owner_of(context["ti"]),
                "hypermodel": self.hypermodel,
                "search-args": self.search_args,
                "search-kwargs": self.search_kwargs,
                "oracle": self.oracle,
                "storage-options": self.storage_options,
            }
        )


def options_of(values: Mapping[str, Any]) -> list[str]:
    """Command line options; what is None is left out, what isn't text becomes JSON."""
    options: list[str] = []
    for name, value in values.items():
        if value is not None:
            options += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    return options


def owner_of(task_instance: Any) -> str:
    """Who claims trials: this task instance, the same one in every try."""
    ti = task_instance
    return f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}"
