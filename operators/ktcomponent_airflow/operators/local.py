"""Operators that run the command in the Airflow worker itself, as a child process of the task."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import Context

from ktcomponent_airflow.operators.command import CommandOperator, options_of

KILL_AFTER_S = 4.0
"""Airflow kills the task 5 s after it told it to end; a step needs up to 3."""


class LocalOperator(CommandOperator):
    """Runs a `ktcomponent` command as a child process; see `CommandOperator`.

    The folders from which this task could import (the DAG folder among them) are given to the command in
    PYTHONPATH, so user code that lies beside a DAG file is found.
    """

    def run_command(self, arguments: list[str], context: Context) -> int:
        del context
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ktcomponent", "--parent", str(os.getpid()), *arguments],
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": _import_path(), **(self.env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        output = self._process.stdout
        for line in output or ():
            self.log.info("%s", line.rstrip("\n"))
        return self._process.wait()

    def on_kill(self) -> None:
        """Tells the command to end: it gives its trial back."""
        process: subprocess.Popen[str] | None = getattr(self, "_process", None)
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            process.kill()


class PrepareOperator(LocalOperator):
    """Creates the study, or checks that it fits; see `CommandOperator` for the arguments."""

    def command(self, context: Context) -> list[str]:
        settings = options_of(self.settings or {})
        return ["prepare", "--study", self.study, *self.common_options(context), *settings]


class TuningOperator(LocalOperator):
    """Runs one batch of trials of a study, with `ktcomponent step`.

    Args:
        batch_size: How many trials; None for as many as there are.
        max_runtime: Seconds after which no more trial is begun.
        deadline: ISO time from which on the search is over for everybody. (templated)
        max_wait: Seconds to wait while only other lanes have something to do.
        kwargs: See `CommandOperator`.

    Returns (as XCom):
        `{"study", "status", "completed", "failed", "best_score"}`.

    Example:

        TuningOperator(
            task_id="batch",
            study="gs://tuning/churn",
            hypermodel="churn.model:build",
            search_args="churn.data:load",
            oracle={"class": "RandomSearch", "objective": "val_auc", "max_trials": 60},
            batch_size=5,
        )
    """

    template_fields: Sequence[str] = (*CommandOperator.template_fields, "deadline")

    def __init__(
        self,
        *,
        batch_size: int | None = None,
        max_runtime: float | None = None,
        deadline: str | None = None,
        max_wait: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_size = batch_size
        self.max_runtime = max_runtime
        self.deadline = deadline
        self.max_wait = max_wait

    def command(self, context: Context) -> list[str]:
        own = {
            "batch-size": self.batch_size,
            "max-runtime": self.max_runtime,
            "deadline": self.deadline,
            "max-wait": self.max_wait,
            **(self.settings or {}),
        }
        return ["step", "--study", self.study, *self.common_options(context), *options_of(own)]


class ExportOperator(LocalOperator):
    """Publishes the result of a study, with `ktcomponent export`.

    Args:
        to: The folder's URL; `exports/result` of the study by default. (templated)
        top_k: How many models.
        min_trials: Fail with fewer completed trials.
        saved_model: Whether to write each model as a TensorFlow SavedModel too.
        kwargs: See `CommandOperator`; without a hypermodel no models are exported.

    Returns (as XCom):
        `{"to", "trial", "score", "partial"}`.
    """

    template_fields: Sequence[str] = (*CommandOperator.template_fields, "to")

    def __init__(
        self,
        *,
        to: str | None = None,
        top_k: int = 1,
        min_trials: int = 1,
        saved_model: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.top_k = top_k
        self.min_trials = min_trials
        self.saved_model = saved_model

    @property
    def _target(self) -> str:
        return self.to or f"{self.study.rstrip('/')}/exports/result"

    def command(self, context: Context) -> list[str]:
        own = {"to": self._target, "top-k": self.top_k, "min-trials": self.min_trials}
        flags = ["--saved-model"] if self.saved_model else []
        return ["export", self.study, *self.common_options(context), *options_of(own), *flags]

    def result(self) -> dict[str, Any]:
        from ktcomponent.export import read_manifest
        from ktcomponent.storage import open_storage

        manifest = read_manifest(open_storage(self._target))
        return {
            "to": self._target,
            "trial": manifest["trial"],
            "score": manifest["score"],
            "partial": manifest["partial"],
        }


def _import_path() -> str:
    """The folders on this process's import path that are neither the standard library's nor site-packages."""
    paths = sysconfig.get_paths()
    names = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    own = {Path(p).resolve() for p in (*(paths[name] for name in names), *site.getsitepackages())}
    folders = []
    for folder in sys.path:
        resolved = Path(folder).resolve()
        if folder and resolved.is_dir() and own.isdisjoint((resolved, *resolved.parents)):
            folders.append(folder)
    return os.pathsep.join(dict.fromkeys(folders))
