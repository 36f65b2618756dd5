"""A container of a Docker engine: found by its labels, followed to its end, never left behind.

The engine removes a container when its process ends, whoever watches. So nothing is left of one that outlived its
Airflow worker, and what it did is read from the study. What never started is removed here.
"""

from __future__ import annotations

import codecs
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

OWNER, STUDY = "ktcomponent.owner", "ktcomponent.study"
PATIENCE_S = 60.0
"""For so long a Docker engine may be away before a container that it ran counts as lost."""
NEVER_STARTED_S = 600.0
"""A container of ours that has not started after so long was left by a worker that died."""
CODE_S = 30.0
"""A container may be gone for so long before the engine tells with which code it ended: its volumes go first."""
LOG_LINES = 1000
"""So many lines of the past are told on reconnecting."""
_END = object()


def find(client: Any, owner: str, study: str) -> str | None:
    """The id of the running container of an owner; what of its containers never ran is removed."""
    labels = [f"{OWNER}={owner}", f"{STUDY}={study}"]
    running = None
    for container in client.containers(all=True, filters={"label": labels}):
        if container["State"] in ("created", "dead"):
            remove(client, container["Id"])
        elif container["State"] in ("running", "paused", "restarting"):
            running = container["Id"]
    return running


def sweep(client: Any) -> None:
    """Removes containers of ours that never started: a worker died between making and starting them."""
    for container in client.containers(all=True, filters={"label": [OWNER], "status": "created"}):
        if time.time() - container["Created"] > NEVER_STARTED_S:
            remove(client, container["Id"])


def remove(client: Any, container_id: str) -> None:
    """Removes a container, whatever its state, with its anonymous volumes."""
    from docker.errors import APIError

    with contextlib.suppress(APIError):
        client.remove_container(container_id, force=True, v=True)


def status(client: Any, container_id: str) -> str:
    """The state of a container, "gone" where there is none."""
    from docker.errors import NotFound

    try:
        state: str = client.inspect_container(container_id)["State"]["Status"]
    except NotFound:
        return "gone"
    return state


class Follower:
    """Follows a container to its end.

    Args:
        client: The engine.
        container_id: The container; about to be started, or running.
        is_new: Whether it is about to be started: then all its output is told, else the last lines and what follows.
    """

    def __init__(self, client: Any, container_id: str, *, is_new: bool) -> None:
        self._client, self._id = client, container_id
        self._told: queue.Queue[Any] = queue.Queue()
        self._gone_since: float | None = None
        # The output of a container that isn't running yet can't be read, only attached to.
        if is_new:
            stream = client.attach(container_id, stdout=True, stderr=True, stream=True, logs=True)
        else:
            stream = client.logs(container_id, stream=True, follow=True, tail=LOG_LINES)
        for job in (lambda: self._read(stream), self._wait):
            threading.Thread(target=job, daemon=True).start()

    def follow(self, tell: Callable[[str], None]) -> int | None:
        """Tells each line of output; returns the exit code, None where the container is gone and left none.

        Raises:
            docker.errors.DockerException, requests.RequestException: If the engine stays away.
        """
        away: float | None = None
        code: int | None = None
        has_ended = is_silent = False
        while not (has_ended and is_silent):
            try:
                item = self._told.get(timeout=2.0)
            except queue.Empty:
                if has_ended:
                    break  # its output has no end: what it started holds it open
                away = self._look(away)
                has_ended = self._gone_since is not None and time.monotonic() - self._gone_since > CODE_S
                continue
            if item is _END:
                is_silent = True
            elif isinstance(item, str):
                tell(item)
            elif isinstance(item, int):
                code, has_ended = item, True
            elif not has_ended:
                # The engine hung up: it restarts, or the container is gone.
                has_ended = self._is_gone_for_good()
        return code

    def _look(self, away: float | None) -> float | None:
        """Since when the engine has been away; None where it answers."""
        try:
            if status(self._client, self._id) == "gone" and self._gone_since is None:
                self._gone_since = time.monotonic()
        except Exception:
            away = away or time.monotonic()
            if time.monotonic() - away > PATIENCE_S:
                raise
            return away
        return None

    def _is_gone_for_good(self) -> bool:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                state = status(self._client, self._id)
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(1)
                continue
            if state in ("running", "paused", "restarting"):
                threading.Thread(target=self._wait, daemon=True).start()
                return False
            remove(self._client, self._id)
            return True

    def _read(self, stream: Iterable[bytes]) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        rest = ""
        with contextlib.suppress(Exception):  # a broken stream ends like any other: `_wait` tells why
            for chunk in stream:
                *lines, rest = (rest + decode(chunk)).split("\n")
                for line in lines:
                    self._told.put(line.rstrip("\r"))
        if rest:
            self._told.put(rest)
        self._told.put(_END)

    def _wait(self) -> None:
        # "removed", since a container that its engine removes would be gone before anybody could ask for its code.
        try:
            answer = self._client.wait(self._id, timeout=None, condition="removed")
            self._told.put(int(answer["StatusCode"]))
        except Exception:  # noqa: BLE001 - whatever it was, the other thread looks what is left
            self._told.put(None)
