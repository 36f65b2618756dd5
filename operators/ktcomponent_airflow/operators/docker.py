"""`DockerTuningOperator`: the command in a container of a Docker engine."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    Context,
    ResumableJobMixin,
)

from ktcomponent.errors import ConfigurationError
from ktcomponent.step import exit_codes
from ktcomponent_airflow.configuration import configured
from ktcomponent_airflow.operators import engine
from ktcomponent_airflow.operators.arguments import owner_of, tries_since_clear
from ktcomponent_airflow.operators.command import CommandOperator, is_not_there

DEFAULT_ENGINE = "unix:///var/run/docker.sock"
STOP_S = 4
"""Airflow kills the task 5 s after it told it to end; a step needs up to 3 to give its trial back."""


class _DoneUnwatched(Exception):
    """What there was to do was done while nobody watched."""


class DockerTuningOperator(ResumableJobMixin, CommandOperator):
    """Runs a `ktcomponent` command, one batch of trials by default, in a container.

    The container outlives its Airflow worker: the next try finds it, by its id on Airflow 3.3 and by its labels
    before, and streams on. It is removed by the engine when it ends. What it did while nobody watched is read from
    the study.

    Args:
        image: The image; by default `image` of the section [ktcomponent] of airflow.cfg. Its entrypoint must be
            `ktcomponent`, as of docker/trainer.Dockerfile. (templated)
        docker_url: The engine, `DOCKER_HOST` or the local socket by default. (templated)
        docker_conn_id: Airflow connection with the registry's credentials. (templated)
        tls: TLS for the engine: `ca_cert`, `client_cert`, `client_key` (paths), `verify`.
        pull: "missing" pulls an image that isn't there, "always", or "never".
        mounts: `docker.types.Mount`s, or their arguments as dicts. (templated)
        network_mode: Docker's network mode, for example "host".
        networks: Names of user-defined networks, instead of a network mode.
        cpus: How many CPUs at most.
        mem_limit: Memory at most, in bytes or as "8g".
        shm_size: Size of /dev/shm, in bytes or as "1g".
        user: User in the container.
        host_config: Further arguments of docker-py's `create_host_config`.
        labels: Further labels of the container.
        engine_wait: Seconds to wait for an engine that doesn't answer, for example since it restarts.
        kwargs: See `CommandOperator`; `gpus` asks the engine for them.

    Raises:
        ConfigurationError: If arguments don't fit.
    """

    template_fields: Sequence[str] = (
        *CommandOperator.template_fields,
        "image",
        "docker_url",
        "docker_conn_id",
        "mounts",
    )
    external_id_key = "ktcomponent_container"

    _container_id: str | None = None
    _follower: engine.Follower | None = None
    _told = False
    """Whether Airflow has told the task to end."""
    _code: int | None = exit_codes.DONE
    """Of a container that ended while nobody watched: the study says that its batch is done."""

    def __init__(
        self,
        *,
        image: str | None = None,
        docker_url: str | None = None,
        docker_conn_id: str | None = None,
        tls: Mapping[str, Any] | None = None,
        pull: str = "missing",
        mounts: Sequence[Any] = (),
        network_mode: str | None = None,
        networks: Sequence[str] = (),
        cpus: float | None = None,
        mem_limit: int | str | None = None,
        shm_size: int | str | None = None,
        user: str | None = None,
        host_config: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        engine_wait: float = 300.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image = image or configured("image")
        self.docker_url = docker_url
        self.docker_conn_id = docker_conn_id
        self.tls = tls
        self.pull = pull
        self.mounts = mounts
        self.network_mode = network_mode
        self.networks = list(networks)
        self.cpus = cpus
        self.mem_limit = mem_limit
        self.shm_size = shm_size
        self.user = user
        self.host_config = host_config
        self.labels = labels
        self.engine_wait = engine_wait
        if self.image is None:
            raise ConfigurationError(
                f"DockerTuningOperator {self.task_id!r} needs `image`, or `image` in the section [ktcomponent] of airflow.cfg."
            )
        if pull not in ("missing", "always", "never"):
            raise ConfigurationError(f"`pull` must be 'missing', 'always' or 'never', got {pull!r}.")
        if network_mode and self.networks:
            raise ConfigurationError("Give `network_mode` or `networks`, not both.")
        if owned := {"auto_remove", "restart_policy"} & set(host_config or {}):
            raise ConfigurationError(
                f"`host_config` can't set {owned.pop()}: a container is run once, and removed."
            )

    # -- running -----------------------------------------------------------------------------------------

    def run_command(self, arguments: list[str], context: Context) -> int | None:
        self._arguments = arguments
        try:
            code: int | None = self.execute_resumable(context)
        except _DoneUnwatched:
            self.log.info(
                "The container of the try before ended unwatched, and the study has its whole batch"
            )
            return exit_codes.DONE
        return code

    def submit_job(self, context: Context) -> str:
        owner = owner_of(context["ti"])
        self._container_id = engine.find(self.client, owner, str(self.study))
        if self._container_id is not None:
            self.log.info("Reconnecting to container %s", self._container_id[:12])
            return self._container_id
        if tries_since_clear(context["ti"], self.retries or 0) > 1 and self._has_done_its_batch(context):
            raise _DoneUnwatched
        engine.sweep(self.client)
        self._provide_image()
        self._check_told()
        self._container_id = self._start(owner)
        self.log.info("Started container %s from %s", self._container_id[:12], self.image)
        return self._container_id

    def get_job_status(self, external_id: Any, context: Context) -> str:
        self._container_id = external_id
        status = engine.status(self.client, external_id)
        if not self.is_job_active(status) and self._has_done_its_batch(context):
            return "done"
        return status

    def is_job_active(self, status: str) -> bool:
        return status in ("running", "paused", "restarting")

    def is_job_succeeded(self, status: str) -> bool:
        return status == "done"

    def poll_until_complete(self, external_id: Any, context: Context) -> Any:
        import requests
        from docker.errors import DockerException

        self._container_id = external_id
        try:
            follower = self._follower or engine.Follower(self.client, external_id, is_new=False)
            self._code = follower.follow(lambda line: self.log.info("%s", line))
        except (DockerException, requests.RequestException) as error:
            raise AirflowException(
                f"The Docker engine went away: {error}. Another try looks again."
            ) from error
        if self._code is None and self._has_done_its_batch(context):
            self._code = exit_codes.DONE
        return self.get_job_result(external_id, context)

    def get_job_result(self, external_id: Any, context: Context) -> int | None:
        del external_id
        self._forget(context)
        return self._code

    def on_kill(self) -> None:
        """Tells the step to end: it gives its trial back. The engine removes the container then."""
        from docker.errors import APIError

        self._told = True
        if self._container_id is None:
            return
        try:
            self.client.stop(self._container_id, timeout=STOP_S)
        except APIError as error:
            self.log.info("The container has ended already: %s", error.explanation)

    def _check_told(self) -> None:
        """Airflow only calls `on_kill`, and goes on with what it interrupted."""
        if self._told:
            raise AirflowException("Told to end before the container was started.")

    # -- the engine --------------------------------------------------------------------------------------

    @functools.cached_property
    def client(self) -> Any:
        """The engine's client, as soon as the engine answers.

        Raises:
            AirflowFailException: If there is no engine at the URL.
            AirflowException: If it doesn't answer in time.
        """
        import requests
        from airflow.providers.docker.hooks.docker import DockerHook
        from docker import APIClient
        from docker.errors import APIError, DockerException
        from docker.tls import TLSConfig
        from docker.utils import parse_host

        url = self.docker_url or os.environ.get("DOCKER_HOST") or DEFAULT_ENGINE
        tls = dict(self.tls or {})
        certificate = (tls.pop("client_cert", None), tls.pop("client_key", None))
        try:
            parse_host(url, tls=bool(self.tls))
            config = (
                TLSConfig(client_cert=certificate if all(certificate) else None, **tls) if self.tls else None
            )
        except (DockerException, TypeError, ValueError) as error:
            raise AirflowFailException(f"`docker_url` or `tls` is wrong: {error}") from error
        end, told = time.monotonic() + self.engine_wait, False
        while True:
            try:
                APIClient(base_url=url, tls=config or False, timeout=60).ping()
                break
            except (DockerException, requests.RequestException) as error:
                if time.monotonic() < end and not _is_forbidden(url):
                    if not told:
                        self.log.info("Waiting up to %g s for the Docker engine at %s", self.engine_wait, url)
                        told = True
                    self._check_told()
                    time.sleep(1)
                    continue
                message = f"No Docker engine answers at {url}: {error}."
                if _has_no_socket(url) or _is_forbidden(url):
                    raise AirflowFailException(
                        f"{message} Give `docker_url`, or mount the engine's socket into the worker."
                    ) from error
                raise AirflowException(f"{message} Another try may find it.") from error
        try:
            hook = DockerHook(docker_conn_id=self.docker_conn_id, base_url=url, tls=config, timeout=60)
            return hook.api_client
        except (AirflowNotFoundException, APIError) as error:
            if isinstance(error, APIError) and not error.is_client_error():
                raise AirflowException(f"The registry's login failed: {error.explanation}.") from error
            raise AirflowFailException(
                f"The connection {self.docker_conn_id!r} of `docker_conn_id` does not do: {error}."
            ) from error

    def _provide_image(self) -> None:
        from docker.errors import APIError, ImageNotFound

        if str(self.image).strip() in ("", "None"):
            raise AirflowFailException(f"`image` is {self.image!r} once its template is rendered.")
        if self.pull != "always":
            try:
                self.client.inspect_image(self.image)
                return
            except ImageNotFound as error:
                if self.pull == "never":
                    raise AirflowFailException(
                        f"The engine has no image {self.image!r}, and `pull` is 'never'. Build it there, or give another."
                    ) from error
            except APIError as error:
                if not error.is_client_error():
                    raise AirflowException(
                        f"The engine can't look for {self.image!r}: {error.explanation or error}."
                    ) from error
                raise AirflowFailException(f"{self.image!r} is no image: {error.explanation}.") from error
        self.log.info("Pulling %s", self.image)
        problem = ""
        try:
            for told in self.client.pull(self.image, stream=True, decode=True):
                problem = told.get("error", problem)
        except APIError as error:
            problem = str(error.explanation or error)
        if problem:
            message = f"The image {self.image!r} can't be pulled: {problem}."
            if is_not_there(problem):
                raise AirflowFailException(f"{message} Is its name right, and has the engine access to it?")
            raise AirflowException(message)

    def _start(self, owner: str) -> str:
        from docker.errors import APIError, DockerException

        client = self.client
        labels = {**(self.labels or {}), engine.OWNER: owner, engine.STUDY: str(self.study)}
        container_id = None
        try:
            container_id = client.create_container(
                image=self.image,
                command=self._arguments,
                environment={"PYTHONUNBUFFERED": "1", **self.shown_env(), **self.secret_env},
                labels=labels,
                user=self.user,
                host_config=client.create_host_config(**self._host_config()),
                networking_config=self._first_network(),
                stop_signal="SIGTERM",
            )["Id"]
            for network in self.networks[1:]:
                client.connect_container_to_network(container_id, network)
            if not self.tls:
                self._follower = engine.Follower(client, container_id, is_new=True)
            self._check_told()
            self._container_id = container_id
            client.start(container_id)
            if self._told:
                self.on_kill()
            if self.tls:
                # An attached stream over TLS is one message late.
                self._follower = engine.Follower(client, container_id, is_new=False)
        except BaseException as error:
            if container_id is not None:
                engine.remove(client, container_id)
            if isinstance(error, APIError) and not error.is_client_error():
                raise AirflowException(
                    f"The container can't be started: {error.explanation or error}. Another try may run elsewhere."
                ) from error
            if isinstance(error, (DockerException, TypeError, ValueError)):
                told = error.explanation if isinstance(error, APIError) else error
                raise AirflowFailException(f"The container can't be started: {told}.") from error
            raise
        return str(container_id)

    def _host_config(self) -> dict[str, Any]:
        from docker.types import DeviceRequest, Mount

        mounts = [Mount(**m) if isinstance(m, dict) and "Target" not in m else m for m in self.mounts or ()]
        config: dict[str, Any] = {
            "mounts": mounts,
            "network_mode": self.networks[0] if self.networks else self.network_mode,
            "nano_cpus": None if self.cpus is None else round(self.cpus * 1e9),
            "mem_limit": self.mem_limit,
            "shm_size": self.shm_size,
            **(self.host_config or {}),
            "auto_remove": True,
        }
        if self.gpus:
            count = -1 if self.gpus == "all" else self.gpus
            gpus = DeviceRequest(count=count, capabilities=[["gpu"]])
            config["device_requests"] = [*config.get("device_requests", ()), gpus]
        return {name: value for name, value in config.items() if value is not None}

    def _first_network(self) -> Any:
        if not self.networks:
            return None
        return self.client.create_networking_config({self.networks[0]: self.client.create_endpoint_config()})

    # -- a container that ended while nobody watched -----------------------------------------------------

    def _has_done_its_batch(self, context: Context) -> bool:
        if self.command != "step" or self.batch_size is None:
            return False  # doing it again costs little: what is done is found done
        tries = self.tries(context)
        return bool(tries) and tries[-1].finished >= self.batch_size

    def _forget(self, context: Context) -> None:
        """So that a task that is cleared runs again."""
        store = context.get("task_state_store")
        if store is not None:
            store.delete(self.external_id_key)


def _socket(url: str) -> Path | None:
    """The local socket that an engine's URL is of, if it is of one."""
    scheme, _, path = url.partition("://")
    return Path("/", path) if scheme in ("unix", "http+unix") else None


def _has_no_socket(url: str) -> bool:
    """Whether the URL is of a local socket that isn't there."""
    socket = _socket(url)
    return socket is not None and not socket.exists()


def _is_forbidden(url: str) -> bool:
    """Whether the URL is of a local socket that isn't ours to use: waiting doesn't help."""
    socket = _socket(url)
    return socket is not None and socket.exists() and not os.access(socket, os.R_OK | os.W_OK)
