"""A real, small Airflow on this machine: by default SQLite, LocalExecutor, a free port. Used by the demo and the tests."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

COMPONENTS = ("api-server", "scheduler", "dag-processor")


def environment(home: Path, dags: Path, port: int, **extra: str) -> dict[str, str]:
    """The environment of every Airflow process, free of what slows Airflow down or belongs to another one."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}"
    server = f"http://127.0.0.1:{port}"
    return {
        **env,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{server}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__BASE_URL": server,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **extra,
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _log_ports() -> dict[str, str]:
    """Ports of a component's own for the logs that it serves, so that several may run on one machine."""
    names = ("WORKER_LOG_SERVER_PORT", "TRIGGER_LOG_SERVER_PORT")
    return {f"AIRFLOW__LOGGING__{name}": str(free_port()) for name in names}


def exit_when_terminated() -> None:
    """Lets SIGTERM end this process in order, so that it ends its Airflow too; make sends it a second time."""

    def leave(number: int, _: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


class Airflow:
    """Scheduler, DAG processor and API server, ended together when the `with` block is left.

    Args:
        home: Airflow's home folder; what lies there is used again.
        dags: The DAG folder.
        more: Further components, as `airflow` commands: "triggerer", "celery worker -c 1".
        port: Of the page and the API; a free one by default.
        env: Further environment variables.
    """

    def __init__(self, home: Path, dags: Path, *more: str, port: int | None = None, **env: str) -> None:
        self.home = home
        self._components = (*COMPONENTS, *more)
        self._port = port or free_port()
        self.env = environment(home, dags, self._port, **env)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._token = ""

    def __enter__(self) -> Airflow:
        self.home.mkdir(parents=True, exist_ok=True)
        self.run("db", "migrate")
        try:
            for number, component in enumerate(self._components):
                with self._log(number).open("ab") as log:
                    self._processes.append(
                        subprocess.Popen(
                            ["airflow", *component.split()],
                            env={**self.env, **_log_ports()},
                            cwd=self.home,
                            stdin=subprocess.DEVNULL,
                            stdout=log,
                            stderr=log,
                            start_new_session=True,
                        )
                    )
            self._wait_for_server()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    @property
    def url(self) -> str:
        """Of its page."""
        return f"http://127.0.0.1:{self._port}"

    def _log(self, number: int) -> Path:
        return self.home / f"{self._components[number].split()[0]}-{number}.log"

    def run(self, *arguments: str) -> str:
        """Runs an `airflow` command; returns what it printed."""
        done = subprocess.run(
            ["airflow", *arguments], env=self.env, cwd=self.home, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Calls Airflow's REST API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def trigger(self, dag_id: str, timeout: float = 90) -> str:
        """Unpauses a DAG as soon as it is known, and starts a run; returns the run's id."""
        path, end = f"/api/v2/dags/{dag_id}", time.monotonic() + timeout
        self._call_again_until(end, "PATCH", path, {"is_paused": False})
        run: str = self._call_again_until(end, "POST", f"{path}/dagRuns", {"logical_date": None})[
            "dag_run_id"
        ]
        return run

    def _call_again_until(self, end: float, method: str, path: str, body: dict[str, Any]) -> Any:
        """Calls until a DAG is known, and until SQLite has its lock: who waits 5 s for another writer is answered 500."""
        while True:
            try:
                return self.call(method, path, body)
            except urllib.error.HTTPError as error:
                if error.code not in (404, 500) or time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def run_state(self, dag_id: str, run_id: str) -> str:
        state: str = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """The run's task instances by task id; of a mapped task one of them."""
        return {t["task_id"]: t for t in self.instances(dag_id, run_id)}

    def instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """All task instances of a run."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=500"
        found: list[dict[str, Any]] = self.call("GET", path)["task_instances"]
        return found

    def task_log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Everything that a task instance has logged, over all its tries."""
        folder = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return "\n".join(path.read_text() for path in sorted(folder.glob("*.log")))

    def _wait_for_server(self, timeout: float = 120) -> None:
        end = time.monotonic() + timeout
        while True:
            for number, process in enumerate(self._processes):
                if process.poll() is not None:
                    told = self._log(number).read_text()[-2000:]
                    raise RuntimeError(f"airflow {self._components[number]} ended:\n{told}")
            try:
                self._token = self.call("GET", "/auth/token")["access_token"]
                return
            except (OSError, ValueError, KeyError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.3)
