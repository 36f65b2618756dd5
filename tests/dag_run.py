"""A DAG run in a real Airflow, and the study it works on."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ktcomponent.storage import open_storage
from ktcomponent.study import Study


def link_dags(folder: Path, *paths: Path) -> Path:
    """A DAG folder of the given files and packages."""
    folder.mkdir()
    for path in paths:
        if path.name != "__pycache__":
            (folder / path.name).symlink_to(path)
    return folder


class Run:
    """One DAG run, and its study."""

    def __init__(self, airflow, dag_id):
        self.airflow, self.dag_id = airflow, dag_id
        self.run_id = airflow.trigger(dag_id)
        folder = self.run_id.replace(":", "").replace("+", "-")
        self.url = f"{airflow.env['KTCOMPONENT_STORAGE']}/{dag_id}/{folder}"

    def study(self):
        return Study.find(open_storage(self.url))

    def wait_for(self, condition, seconds):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, self.story()
            time.sleep(0.5)
        return found

    def wait(self, seconds=300):
        done = ("success", "failed")
        self.wait_for(lambda: self.airflow.run_state(self.dag_id, self.run_id) in done, seconds)
        return self.airflow.run_state(self.dag_id, self.run_id)

    def tasks(self):
        return self.airflow.tasks(self.dag_id, self.run_id)

    def instances(self):
        return self.airflow.instances(self.dag_id, self.run_id)

    def log(self, task_id):
        return self.airflow.task_log(self.dag_id, self.run_id, task_id)

    def states(self):
        return {i: t["state"] for i, t in self.tasks().items()}

    def story(self):
        logs = [self.log(task)[-2000:] for task in self.states()]
        return "\n".join([str(self.states()), *logs])

    def xcom(self, task_id):
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.airflow.call("GET", path + "?deserialize=true")["value"]


def finishes(study):
    log = [json.loads(study.storage.get(key)) for key in study.storage.list("log")]
    return sorted(entry["trial"] for entry in log if entry["op"] == "finish")
