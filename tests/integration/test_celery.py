"""CeleryExecutor with Redis and PostgreSQL: two workers, of which one is killed; and DAGs that need what it has."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from airflow_process import Airflow

from ktcomponent.maintenance.verify import verify
from tests import servers
from tests.conftest import ROOT, USER_CODE
from tests.dag_run import Run, finishes, link_dags

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WORKERS = ("w1", "w2")


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    dags = link_dags(
        home / "dags",
        *(ROOT / "dags").glob("digits*"),
        ROOT / "dags/objective_in_dag.py",
        ROOT / "tests/dags/fast_dags.py",
    )
    for name in ("digits_docker.py", "digits_kubernetes.py"):
        (dags / name).unlink()
    database, redis = servers.start_postgres(), servers.start_redis(home)
    env = {
        "KTCOMPONENT_STORAGE": (home / "studies").as_uri(),
        "PYTHONPATH": str(USER_CODE),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.url.replace("://", "+psycopg2://"),
        "AIRFLOW__CELERY__BROKER_URL": redis.url,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database.url.replace('://', '+psycopg2://')}",
        # A task of a worker that was killed is noticed after this, and not after 5 minutes.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    }
    workers = [f"celery worker -H {name}@localhost -c 2" for name in WORKERS]
    try:
        with Airflow(home, dags, "triggerer", *workers, **env) as running:
            yield running
    finally:
        redis.stop()
        database.stop()


def is_whole(run, trials):
    study = run.study()
    assert [t["status"] for t in study.state.trials.values()] == ["COMPLETED"] * trials
    assert finishes(study) == sorted(study.state.trials)
    assert verify(study.storage).problems == []


def test_lanes_spread_over_workers_and_one_that_is_killed_is_not_missed(airflow):
    run = Run(airflow, "two_lanes")

    def both():
        study = run.study()
        return study and len({lease["owner"] for lease in study.state.running().values()}) == 2

    run.wait_for(both, 180)
    running = [t for t in airflow.tasks("two_lanes", run.run_id).values() if t["state"] == "running"]
    workers = {worker_of(psutil.Process(task["pid"])) for task in running}
    assert len(workers) == 2
    os.kill(workers.pop().pid, signal.SIGKILL)
    assert run.wait(400) == "success", run.story()
    is_whole(run, 16)
    assert run.xcom("tuning.export")["partial"] is False


def worker_of(process):
    """The main process of the Celery worker that a task's process belongs to."""
    *_, main = [p for p in process.parents() if "@localhost" in " ".join(p.cmdline())]
    return main


def test_lanes_may_come_as_a_number_at_run_time(airflow):
    run = Run(airflow, "lanes_at_run_time")
    assert run.wait() == "success", run.story()
    is_whole(run, 6)
    lanes = {t["map_index"] for t in run.instances() if t["task_id"] == "tuning.lane.batch_1"}
    assert lanes == {0, 1, 2}


def test_nothing_runs_after_a_preparation_that_failed(airflow):
    run = Run(airflow, "bad_preparation")
    assert run.wait() == "failed", run.story()
    states = run.states()
    assert states.pop("tuning.prepare") == "failed"
    assert set(states.values()) == {"upstream_failed"}


def test_a_search_past_its_deadline_exports_what_there_is(airflow):
    run = Run(airflow, "past_its_deadline")
    assert run.wait() == "success", run.story()
    study = run.study()
    assert study.state.stop["reason"] == "the deadline passed"
    assert 0 < len(study.state.trials) < 60
    assert run.xcom("tuning.export")["partial"] is True


def test_a_task_that_is_out_of_time_gives_its_trial_back(airflow):
    run = Run(airflow, "out_of_time")
    assert run.wait() == "success", run.story()
    is_whole(run, 3)
    assert airflow.tasks("out_of_time", run.run_id)["tuning.lane_1_batch_1"]["try_number"] > 1
    assert all(lease["losses"] == 0 for lease in run.study().state.leases.values())


def test_an_objective_of_the_dag_file_is_minimised_and_waited_for(airflow):
    run = Run(airflow, "objective_in_dag")
    assert run.wait() == "success", run.story()
    is_whole(run, 12)
    told = run.xcom("valley")
    assert told["completed"] == 12
    assert told["best_score"] < 1.5
    assert run.xcom("good_enough")["best_score"] <= 2.0


def test_hyperband_runs_over_four_lanes(airflow):
    run = Run(airflow, "digits_hyperband")
    assert run.wait(600) == "success", run.story()
    study = run.study()
    assert {t["status"] for t in study.state.trials.values()} == {"COMPLETED"}
    assert study.state.stop["reason"] == "the oracle has no more trials"
    assert run.xcom("tuning.export")["partial"] is False
