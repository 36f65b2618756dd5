"""What every operator shares: its arguments, the command line they become, and what its exit code means."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    Context,
)

from ktcomponent.errors import ConfigurationError, KtcomponentError
from ktcomponent.step import exit_codes
from ktcomponent.step.source import MODULE, VARIABLE
from ktcomponent_airflow.configuration import configured
from ktcomponent_airflow.links import StudyLink
from ktcomponent_airflow.operators.arguments import (
    RUN_FOLDER,
    check_rendered,
    options_of,
    owner_of,
    plain_url,
    tries_since_clear,
    wrong_arguments,
)

_NOT_THERE = re.compile(
    r"(?i)(?<!host )not found|manifest unknown|no such image|does not exist|denied|unauthorized|invalid reference"
)
BRIEF_S = 10.0
"""For so long a storage that doesn't answer is asked again where a task waits to be retried."""
FRUITLESS = 3
"""After so many tries running that finished no trial, a step fails for good."""


class CommandOperator(BaseOperator):
    """Runs one `ktcomponent` command; a subclass says where.

    A try that ends with 2 (a retry can't help) fails the task for good, one that ends with 99 (the search is
    over) skips it, any other failure is retried: preemptions spend retries too, so there are many by default. Three
    tries running that finished no trial, and were not told to end, fail a step for good as well.

    Args:
        study: URL of the study, or an `ObjectStoragePath`; by default a folder for each DAG run below `storage` of the
            section [ktcomponent] of airflow.cfg. (templated)
        command: "step" runs one batch of trials, "prepare" creates the study or checks that it fits, "export"
            publishes the result.
        hypermodel: Import path of what is tuned, as `package.module:name`; or a function of the DAG file, whose
            source is shipped: it has to import what it needs. (templated)
        search_args: Import path of a function that returns the `(args, kwargs)` of `search`. (templated)
        search_kwargs: Keyword arguments of `search`, laid over those; JSON values. (templated)
        oracle: Class and constructor arguments of the oracle; JSON values. (templated)
        warm_start: URL of an earlier study, or of a folder with studies (of those that a DAG's runs left, say), or several: a new
            study begins with what they found. Read with the study's connection. (templated)
        settings: The study's own: "lease", "keep-checkpoints", "checkpoint-every"; see `ktcomponent prepare --help`.
        storage_conn_id: Airflow connection with the credentials of the study's storage. (templated)
        storage_options: Further arguments of the study's fsspec file system, without credentials.
        env: Environment variables added for the command; shown in the page, so no place for secrets. (templated)
        gpus: How many GPUs a step, or retraining, trains on; "all" for whatever is there. A machine without them is left before a
            trial is claimed.
        batch_size: Of a step: how many trials; None for as many as there are.
        max_runtime: Of a step: seconds after which no more trial is begun.
        deadline: Of a step: ISO time from which on the search is over for everybody. (templated)
        max_wait: Of a step: seconds to wait while only other lanes have something to do.
        to: Of an export: the folder's URL, or an `ObjectStoragePath`; `exports/result` of the study by default. (templated)
        top_k: Of an export: how many models.
        min_trials: Of an export: fail with fewer completed trials.
        saved_model: Of an export: whether to write each model as a TensorFlow SavedModel too.
        retrain: Of an export: whether the best model is trained anew, with `search_args`, before it is published.
        pool: Airflow pool; by default `pool` of the section [ktcomponent] of airflow.cfg.
        retries, retry_delay, retry_exponential_backoff, max_retry_delay: 20 retries with exponential backoff from 15 s to
            10 min.
        kwargs: See `BaseOperator`.

    Returns (as XCom):
        Of a step and a preparation `{"study", "status", "completed", "failed", "best_score"}`, of an export
        `{"to", "trial", "score", "partial"}`.

    Raises:
        ConfigurationError: If arguments don't fit the command.
    """

    template_fields: Sequence[str] = (
        "study",
        "hypermodel",
        "search_args",
        "search_kwargs",
        "oracle",
        "warm_start",
        "storage_conn_id",
        "env",
        "deadline",
        "to",
    )
    ui_color = "#e8f0fe"
    operator_extra_links = (StudyLink(),)

    def __init__(
        self,
        *,
        study: Any = None,
        command: str = "step",
        hypermodel: str | Callable[..., Any] | None = None,
        search_args: str | None = None,
        search_kwargs: dict[str, Any] | None = None,
        oracle: dict[str, Any] | None = None,
        warm_start: Any = None,
        settings: dict[str, Any] | None = None,
        storage_conn_id: str | None = None,
        storage_options: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        gpus: int | str | None = None,
        batch_size: int | None = None,
        max_runtime: float | None = None,
        deadline: str | None = None,
        max_wait: float | None = None,
        to: Any = None,
        top_k: int | None = None,
        min_trials: int | None = None,
        saved_model: bool = False,
        retrain: bool = False,
        pool: str | None = None,
        retries: int = 20,
        retry_delay: datetime.timedelta = datetime.timedelta(seconds=15),
        # True doubles the delay in every Airflow 3; a number is not known to 3.1.
        retry_exponential_backoff: bool | float = True,
        max_retry_delay: datetime.timedelta = datetime.timedelta(minutes=10),
        **kwargs: Any,
    ) -> None:
        where: dict[str, Any] = {"pool": pool} if (pool := pool or configured("pool")) else {}
        super().__init__(
            retries=retries,
            retry_delay=retry_delay,
            retry_exponential_backoff=retry_exponential_backoff,
            max_retry_delay=max_retry_delay,
            **where,
            **kwargs,
        )
        source = None
        if callable(hypermodel):
            from ktcomponent_airflow.source import source_of

            source, hypermodel = source_of(hypermodel), f"{MODULE}:{hypermodel.__name__}"
        study, own_conn_id = plain_url(study)
        to, to_conn_id = plain_url(to)
        self.study = study if study is not None else _default_study()
        self.command = command
        self.hypermodel = hypermodel
        self.source = source
        self.search_args = search_args
        self.search_kwargs = search_kwargs
        self.oracle = oracle
        self.warm_start = _plain_urls(warm_start)
        self.settings = settings
        self.storage_conn_id = storage_conn_id or own_conn_id
        self.to_conn_id = to_conn_id
        self.storage_options = storage_options
        self.env = env
        self.gpus = gpus
        self.batch_size = batch_size
        self.max_runtime = max_runtime
        self.deadline = deadline
        self.max_wait = max_wait
        self.to = to
        self.top_k = top_k
        self.min_trials = min_trials
        self.saved_model = saved_model
        self.retrain = retrain
        if problem := wrong_arguments(self):
            raise ConfigurationError(f"{type(self).__name__} {self.task_id!r}: {problem}")

    # -- where it runs -----------------------------------------------------------------------------------

    def run_command(self, arguments: list[str], context: Context) -> int | None:
        """Runs the command where this operator runs it, streaming its output; returns its exit code, None where it was lost."""
        raise NotImplementedError

    def execute(self, context: Context) -> dict[str, Any]:
        return self.outcome(self.run_command(self.prepared(context), context), context)

    # -- what it is told ---------------------------------------------------------------------------------

    def command_line(self, context: Context) -> list[str]:
        """The command's arguments, without the program.

        Raises:
            AirflowFailException: If a template rendered to nothing.
        """
        urls = [("study", self.study), ("to", self.target)]
        # A native template may render to any sequence.
        self.warm_start = _plain_urls(self.warm_start)
        urls += [("warm_start", url) for url in self.warm_start or ()]
        for name, url in urls:
            check_rendered(name, url)
        return options_of(self, owner_of(context["ti"]))

    @property
    def target(self) -> str:
        """Where an export goes."""
        return self.to if self.to is not None else f"{str(self.study).rstrip('/')}/exports/result"

    def shown_env(self) -> dict[str, str]:
        """The command's environment variables that everybody may see."""
        return {**(self.env or {}), **({VARIABLE: self.source} if self.source else {})}

    @functools.cached_property
    def secret_env(self) -> dict[str, str]:
        """The command's environment variables that hold credentials."""
        from ktcomponent_airflow.connections import as_environment, file_system_options

        found: dict[str, str] = {}
        for url, conn_id in ((self.study, self.storage_conn_id), (self.target, self.to_conn_id)):
            if conn_id:
                given = as_environment(url, file_system_options(conn_id, url))
                if any(found.get(name, text) != text for name, text in given.items()):
                    raise AirflowFailException(
                        "`study` and `to` are of the same kind of storage and have different connections; one command "
                        "can use only one of them. Export to the study, and copy from there."
                    )
                found.update(given)
        return found

    # -- what came of it ---------------------------------------------------------------------------------

    def outcome(self, code: int | None, context: Context, reason: str | None = None) -> dict[str, Any]:
        """An exit code as the task's result, or as the exception that Airflow takes for its state.

        Args:
            code: The exit code; None where it is not known, for example of a machine that is gone.
            context: The task's context.
            reason: Why no code is known, where that is.
        """
        if code == exit_codes.DONE:
            return self.result()
        if code == exit_codes.SEARCH_OVER:
            raise AirflowSkipException("The search is over: nothing is left to do.")
        if code == exit_codes.BAD_CONFIGURATION:
            raise AirflowFailException("ktcomponent ended with 2: a retry can't help. Its message is above.")
        ended = f"ktcomponent ended with {code}"
        if code is None:
            ended = (reason or "ktcomponent was lost with its machine").rstrip(".")
        if self.command == "step" and self._is_fruitless(context):
            raise AirflowFailException(
                f"{ended}, and {FRUITLESS} tries running finished no trial. What they logged tells why; clear the task "
                "to try again."
            )
        raise AirflowException(f"{ended}; another try goes on where this one was.")

    def result(self) -> dict[str, Any]:
        """What a finished task returns as its XCom: small, and free of NaN."""
        try:
            return self._export_result() if self.command == "export" else self._study_result()
        except (KtcomponentError, AirflowException) as error:
            # The command has done its work, and a retry would do another batch.
            self.log.warning("What the study says now can't be returned: %s", error)
            return {"study": self.study}

    def prepared(self, context: Context) -> list[str]:
        """The command line, once all that can be checked before anything runs has been.

        Raises:
            AirflowFailException: If an argument is wrong now that templates are rendered, or this worker could not read the
                study afterwards.
        """
        try:
            line = self.command_line(context)
            # Of a mapped task, or a template, only now.
            if problem := wrong_arguments(self):
                raise ConfigurationError(problem)
            self.storage()
        except (ConfigurationError, TypeError, ValueError) as error:
            raise AirflowFailException(f"{type(self).__name__} {self.task_id!r}: {error}") from error
        return line

    def storage(self, url: str | None = None, conn_id: str | None = None, **options: Any) -> Any:
        """The study's storage, or another one, as this process sees it."""
        from ktcomponent.storage import open_storage
        from ktcomponent_airflow.connections import file_system_options

        url, conn_id = (self.study, self.storage_conn_id) if url is None else (url, conn_id)
        secret = file_system_options(conn_id, url) if conn_id else {}
        return open_storage(url, **{**secret, **(self.storage_options or {}), **options})

    def _study_result(self) -> dict[str, Any]:
        from ktcomponent import report
        from ktcomponent.study import Study

        return report.summary(report.status(Study.open(self.storage())))

    def _export_result(self) -> dict[str, Any]:
        from ktcomponent.export import read_manifest

        alike = self.target.split("://")[0] == self.study.split("://")[0]
        conn_id = self.to_conn_id or (self.storage_conn_id if alike else None)
        manifest = read_manifest(self.storage(self.target, conn_id))
        return {
            "to": self.target,
            "trial": manifest["trial"],
            "score": manifest["score"],
            "partial": manifest["partial"],
        }

    def tries(self, context: Context) -> list[Any]:
        """What became of this task's tries, from the log; see `ktcomponent.maintenance.tries`."""
        from ktcomponent.maintenance.tries import tries_of

        return tries_of(self.storage(retry_s=BRIEF_S), owner_of(context["ti"]))

    def _is_fruitless(self, context: Context) -> bool:
        from ktcomponent.maintenance.tries import fruitless

        if tries_since_clear(context["ti"], self.retries or 0) < FRUITLESS:
            return False
        try:
            return fruitless(self.tries(context)) >= FRUITLESS
        except KtcomponentError as error:
            self.log.warning("The study can't be read to tell whether a retry helps: %s", error)
            return False


def is_not_there(problem: str) -> bool:
    """Whether a message of a registry says that it has no such image, or not for us: a retry can't help."""
    return _NOT_THERE.search(problem) is not None


def _plain_urls(given: Any) -> list[Any] | None:
    """URLs from one or several of them, as `plain_url` has them."""
    if given is None:
        return None
    several = isinstance(given, (list, tuple, set, frozenset))
    return [plain_url(url)[0] for url in (given if several else [given])]


def _default_study() -> str:
    storage = configured("storage")
    if storage is None:
        raise ConfigurationError(
            "Give `study`, the URL of the study, or set `storage` in the section [ktcomponent] of airflow.cfg."
        )
    return f"{storage.rstrip('/')}/{RUN_FOLDER}"
