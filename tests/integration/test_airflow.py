"""DAGs in a real Airflow: scheduler, API server, LocalExecutor, real task instances."""

import json
import os
import time

import psutil
import pytest
from airflow_process import Airflow

from ktcomponent.storage import open_storage
from ktcomponent.study import Study
from tests.conftest import ROOT, USER_CODE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    dags = home / "dags"
    dags.mkdir()
    for path in (*(ROOT / "dags").iterdir(), *(ROOT / "tests" / "dags").iterdir()):
        if path.name != "__pycache__":
            (dags / path.name).symlink_to(path)
    env = {
        "KTCOMPONENT_STORAGE": (home / "studies").as_uri(),
        "PYTHONPATH": str(USER_CODE),
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    }
    with Airflow(home, dags, **env) as running:
        yield running


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

    def states(self):
        return {i: t["state"] for i, t in self.airflow.tasks(self.dag_id, self.run_id).items()}

    def story(self):
        logs = [self.airflow.task_log(self.dag_id, self.run_id, task)[-2000:] for task in self.states()]
        return "\n".join([str(self.states()), *logs])

    def xcom(self, task_id):
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.airflow.call("GET", path + "?deserialize=true")["value"]


def step_of(run):
    """The process of the step that works on a run's study, as the operator started it."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "step" in command and run.url in command:
            return process
    raise AssertionError(run.story())


def finishes(study):
    log = [json.loads(study.storage.get(key)) for key in study.storage.list("log")]
    return sorted(entry["trial"] for entry in log if entry["op"] == "finish")


def test_the_digits_are_retuned_and_the_best_model_is_published(airflow):
    run = Run(airflow, "digits_retune")
    assert run.wait(600) == "success", run.story()
    study = run.study()
    assert [t["status"] for t in study.state.trials.values()] == ["COMPLETED"] * 12
    assert finishes(study) == sorted(study.state.trials)
    states = run.states()
    assert states.pop("tuning.prepare") == states.pop("tuning.export") == "success"
    assert set(states.values()) <= {"success", "skipped"}
    result = run.xcom("tuning.export")
    assert result == {
        "to": f"{run.url}/exports/result",
        "trial": result["trial"],
        "score": result["score"],
        "partial": False,
    }
    export = open_storage(result["to"])
    manifest = json.loads(export.get("manifest.json"))
    assert {f["name"] for f in manifest["files"]} == {
        "best_hyperparameters.json", "model_1.keras", "model_2.keras", "trials.csv",
    }  # fmt: skip
    assert len(study.state.document["oracle"]["hyperparameters"]["space"]) == 7
    log = airflow.task_log("digits_retune", run.run_id, "tuning.lane_1_batch_1")
    assert "val_accuracy" in log
    assert "\\u001b" not in log


def test_a_task_killed_in_mid_trial_is_retried_and_nothing_is_lost(airflow):
    run = Run(airflow, "killed")
    study = run.wait_for(lambda: (s := run.study()) and s.state.running() and s, 120)
    (trial, attempt), *_ = study.state.held(f"killed/{run.run_id}/tuning.lane_1_batch_1/-1").items()
    step = step_of(run)
    family = [step, *step.children(recursive=True)]
    task = step.parent()
    assert task.pid != os.getpid()
    task.kill()
    _, alive = psutil.wait_procs(family, 10)
    assert alive == []
    assert run.wait() == "success", run.story()
    study = run.study()
    assert study.state.leases[trial]["attempt"] == attempt + 1
    assert [t["status"] for t in study.state.trials.values()] == ["COMPLETED"] * 6
    assert finishes(study) == sorted(study.state.trials)
    tries = airflow.tasks("killed", run.run_id)["tuning.lane_1_batch_1"]["try_number"]
    assert tries == 2


def test_a_lane_that_fails_for_good_leaves_the_search_to_the_other(airflow):
    run = Run(airflow, "one_lane_fails")
    assert run.wait() == "success", run.story()
    states = run.states()
    assert (states["bad_1"], states["good_1"], states["export"]) == ("failed", "success", "success")
    # Where the other lane was faster, this one finds the search over before it looks at its hypermodel.
    assert states["bad_2"] in ("failed", "skipped")
    study = run.study()
    assert [t["status"] for t in study.state.trials.values()] == ["COMPLETED"] * 6
    assert airflow.tasks("one_lane_fails", run.run_id)["bad_1"]["try_number"] == 1
    assert run.xcom("good_2")["completed"] == 6


def test_a_task_that_is_ended_by_airflow_gives_its_trial_back(airflow):
    run = Run(airflow, "killed")
    study = run.wait_for(lambda: (s := run.study()) and s.state.running() and s, 120)
    step = step_of(run)
    family = [step, *step.children(recursive=True)]
    path = f"/api/v2/dags/killed/dagRuns/{run.run_id}/taskInstances/tuning.lane_1_batch_1"
    airflow.call("PATCH", path, {"new_state": "failed"})
    _, alive = psutil.wait_procs(family, 60)
    assert alive == []
    log = [json.loads(study.storage.get(key)) for key in study.storage.list("log")]
    assert [e["reason"] for e in log if e["op"] == "giveback"] == ["received SIGTERM"]
    state = run.study().state
    assert state.running() == {}
    assert all(lease["losses"] == 0 for lease in state.leases.values())
    assert len(state.free()) == 1
    # The only batch failed for good, and too few trials completed for an export.
    assert run.wait() == "failed", run.story()
