"""DAGs in a real Airflow: scheduler, API server, LocalExecutor, real task instances."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import psutil
import pytest
from airflow_process import Airflow

from ktcomponent.storage import open_storage
from tests.conftest import ROOT, USER_CODE
from tests.dag_run import Run, finishes, link_dags

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    dags = link_dags(home / "dags", *(ROOT / "dags").glob("digits*"), *(ROOT / "tests" / "dags").glob("*.py"))
    env = {
        "KTCOMPONENT_STORAGE": (home / "studies").as_uri(),
        "PYTHONPATH": str(USER_CODE),
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    }
    with Airflow(home, dags, **env) as running:
        yield running


def step_of(run):
    """The process of the step that works on a run's study, as the operator started it."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "step" in command and run.url in command:
            return process
    raise AssertionError(run.story())


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
    run = Run(airflow, "ended")
    study = run.wait_for(lambda: (s := run.study()) and s.state.running() and s, 120)
    step = step_of(run)
    family = [step, *step.children(recursive=True)]
    path = f"/api/v2/dags/ended/dagRuns/{run.run_id}/taskInstances/tuning.lane_1_batch_1"
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


def test_a_run_begins_with_what_the_run_before_it_found(airflow):
    runs = []
    for _ in range(2):
        runs.append(Run(airflow, "retuned"))
        assert runs[-1].wait() == "success", runs[-1].story()
    first, second = (run.study().state for run in runs)
    assert first.config["oracle"]["earlier"] is None
    (known,) = second.config["oracle"]["earlier"]
    assert known["name"] == runs[0].url
    assert len(known["trials"]) == 4
    whys = [trial["why"]["how"] for trial in second.trials.values()]
    # The first one finds out what the function asks for.
    assert whys == ["random", "earlier", "initial", "earlier"]
    assert "trained to its end" in second.config["chosen"]


def test_a_dag_is_asked_for_again_until_it_is_known_and_the_database_is_free(tmp_path):
    answers, asked = [404, 200, 500, 200], []

    class Api(BaseHTTPRequestHandler):
        def answer(self):
            asked.append((self.command, self.path))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(answers[len(asked) - 1])
            self.end_headers()
            self.wfile.write(b'{"dag_run_id": "first"}')

        do_PATCH = do_POST = answer  # noqa: N815 - http.server's names

    with HTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert Airflow(tmp_path, tmp_path, port=server.server_port).trigger("digits") == "first"
        server.shutdown()
    assert asked == [("PATCH", "/api/v2/dags/digits")] * 2 + [("POST", "/api/v2/dags/digits/dagRuns")] * 2
