"""`TuningOperator`: the command in the Airflow worker itself, as a child process of the task."""

from __future__ import annotations

import math
import os
import queue
import site
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, Context

from ktcomponent_airflow.operators.command import CommandOperator

LAST_LINES_S = 2.0
"""For so long after the command's end its last lines are waited for."""
KILL_AFTER_S = 4.0
"""Airflow kills the task 5 s after it told it to end; a step needs up to 3."""


class TuningOperator(CommandOperator):
    """Runs a `ktcomponent` command, one batch of trials by default, as a child process in the worker.

    For workers that have what training needs: Celery workers on GPU machines, or the KubernetesExecutor with a
    `pod_override`. The folders from which this task could import (the DAG folder among them) are given to the command in
    PYTHONPATH, so user code that lies beside a DAG file is found.

    Args:
        python: Another Python interpreter, in whose environment ktcomponent and the training framework are
            installed: Airflow needs none of them in its own then. (templated)
        kwargs: See `CommandOperator`.

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

    template_fields = (*CommandOperator.template_fields, "python")

    def __init__(self, *, python: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.python = python

    def run_command(self, arguments: list[str], context: Context) -> int:
        del context
        command = [
            self.python or sys.executable,
            *("-m", "ktcomponent", "--parent", str(os.getpid())),
            *arguments,
        ]
        own = {"PYTHONUNBUFFERED": "1", "PYTHONPATH": _import_path(), **self.shown_env(), **self.secret_env}
        try:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except (OSError, TypeError, ValueError) as error:
            raise AirflowFailException(
                f"{command[0]} can't be started: {error}. `python` must be an interpreter on this worker, and `env` hold "
                "text alone."
            ) from error
        for line in _lines(self._process):
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


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """What it prints, until it has ended: what user code left behind may hold the output open for ever."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    end = math.inf
    while time.monotonic() < end:
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            if process.poll() is not None and end == math.inf:
                end = time.monotonic() + LAST_LINES_S
            continue
        if line is None:
            return
        yield line


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
