"""Searches in containers: a real Docker engine, the trainer image, Airflow's LocalExecutor on PostgreSQL, an S3 server."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest
from airflow_process import Airflow

from ktcomponent.maintenance.verify import verify
from ktcomponent.storage import open_storage
from ktcomponent.study import layout
from tests.conftest import ROOT
from tests.dag_run import Run, finishes, link_dags

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CANARY = "canary-5c1f0d7e9b"


@pytest.fixture(scope="module")
def airflow(engine, airflow_env, tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    dags = link_dags(home / "dags", ROOT / "dags/digits_docker.py")
    env = {**airflow_env(CANARY), "KTCOMPONENT_NETWORK": "host", "DOCKER_HOST": engine.url}
    with Airflow(home, dags, **env) as running:
        yield running


class Watch:
    """Looks at every container of ours while it is there."""

    def __init__(self, engine):
        self.engine, self.seen = engine, {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _look(self):
        while not self._stop.wait(0.5):
            try:
                for container in self.engine.containers():
                    (told,) = json.loads(self.engine.run("inspect", container))
                    self.seen[container] = told
            except RuntimeError:
                continue  # it has ended, or the engine restarts


def container_of(engine, task_id):
    for container in engine.containers("--filter", "status=running"):
        (told,) = json.loads(engine.run("inspect", container))
        if f"/{task_id}/" in told["Config"]["Labels"]["ktcomponent.owner"]:
            return container
    return None


def test_a_search_in_containers_survives_its_worker_a_container_and_the_engine(airflow, engine):
    with Watch(engine) as watch:
        run = Run(airflow, "digits_docker")
        first, second = "tuning.lane_1_batch_1", "tuning.lane_2_batch_1"

        def both():
            study = run.study()
            owners = {r["owner"] for r in study.state.running().values()} if study else ()
            return study if len(owners) == 2 else None

        study = run.wait_for(both, 240)

        # The Airflow task is killed, and the retry streams on from its container, which is held so that it does not
        # end before that.
        container = container_of(engine, first)
        engine.run("kill", "--signal", "STOP", container)
        os.kill(airflow.tasks("digits_docker", run.run_id)[first]["pid"], signal.SIGKILL)

        # A container is killed after an epoch of a trial: the retry goes on with that trial after that epoch.
        def checkpoint():
            study.refresh()
            held = study.state.held(f"digits_docker/{run.run_id}/{second}/-1")
            folders = [layout.attempt_folder(1, trial, attempt) for trial, attempt in held.items()]
            return [key for folder in folders for key in study.storage.list(folder)]

        run.wait_for(checkpoint, 120)
        engine.run("kill", "--signal", "KILL", container_of(engine, second))
        run.wait_for(lambda: "econnecting to" in airflow.task_log("digits_docker", run.run_id, first), 120)
        engine.run("kill", "--signal", "CONT", container)
        run.wait_for(lambda: airflow.tasks("digits_docker", run.run_id)[first]["state"] == "success", 180)
        owners = [told["Config"]["Labels"]["ktcomponent.owner"] for told in watch.seen.values()]
        assert sum(f"/{first}/" in owner for owner in owners) == 1
        assert container in watch.seen

        # The engine restarts: what ran is lost with it, and the search goes on.
        run.wait_for(lambda: container_of(engine, second), 120)
        engine.stop()
        time.sleep(2)
        engine.start()
        assert run.wait(480) == "success", run.story()

    study = run.study()
    assert [t["status"] for t in study.state.trials.values()] == ["COMPLETED"] * 8
    assert finishes(study) == sorted(study.state.trials)
    assert " goes on with epoch " in airflow.task_log("digits_docker", run.run_id, second)
    assert verify(study.storage).problems == []
    assert engine.containers() == []
    assert engine.run("volume", "ls", "-q") == ""
    assert run.xcom("tuning.export")["partial"] is False

    # No secret shows anywhere.
    tasks = airflow.tasks("digits_docker", run.run_id)
    shown = [json.dumps([t["Config"]["Cmd"], t["Args"], t["Config"]["Labels"]]) for t in watch.seen.values()]
    shown += [json.dumps(task["rendered_fields"]) for task in tasks.values()]
    shown += [airflow.task_log("digits_docker", run.run_id, task_id) for task_id in tasks]
    shown += [json.dumps(run.xcom(i)) for i, task in tasks.items() if task["state"] == "success"]
    assert len(shown) > 10
    assert not [text for text in shown if CANARY in text]
    storage = open_storage(run.url)
    assert not [key for key in storage.list("") if CANARY.encode() in (storage.get(key) or b"")]
