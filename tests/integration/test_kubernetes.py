"""Searches in pods: an unmodified KubernetesPodOperator path against a loopback API server with Docker as its kubelet."""

from __future__ import annotations

import json
import os
import signal

import pytest
from airflow_process import Airflow

from ktcomponent.maintenance.verify import verify
from tests.conftest import ROOT
from tests.dag_run import Run, finishes, link_dags
from tests.kubernetes_server import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CANARY = "canary-91b2e6d3f0"
BATCH = "tuning.lane_1_batch_1"


@pytest.fixture(scope="module")
def cluster(engine, s3):
    options = {"key": "id", "secret": CANARY, "endpoint_url": os.environ["FSSPEC_S3_ENDPOINT_URL"]}
    cluster = Cluster(engine, {"storage": {"options": json.dumps(options)}})
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def airflow(cluster, airflow_env, tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    dags = link_dags(home / "dags", ROOT / "dags/digits_kubernetes.py", ROOT / "tests/dags/container_dags.py")
    config = str(cluster.write_config(home / "kubeconfig"))
    env = {**airflow_env(CANARY), "KUBECONFIG": config, "AIRFLOW__CORE__PARALLELISM": "8"}
    with Airflow(home, dags, "triggerer", **env) as running:
        yield running


def is_whole(run, trials):
    study = run.study()
    assert [t["status"] for t in study.state.trials.values()] == ["COMPLETED"] * trials
    assert finishes(study) == sorted(study.state.trials)
    assert verify(study.storage).problems == []
    assert run.xcom("tuning.export")["partial"] is False


RUNS = {
    "digits": "digits_kubernetes",
    "evicted": "pods",
    "evicted, deferred": "pods_deferred",
    "worker killed": "pods",
    "node gone": "pods_deferred",
    "out of time": "pods_out_of_time",
    "no image": "pods_without_image",
    "no image, deferred": "pods_without_image_deferred",
}


@pytest.fixture(scope="module")
def runs(airflow, cluster):
    """All DAG runs of this module, side by side, and what happens to their pods: most of the time is Airflow's."""
    runs = {name: Run(airflow, dag_id) for name, dag_id in RUNS.items()}
    ahead = {
        "evicted": cluster.evict,
        "evicted, deferred": cluster.evict,
        "node gone": cluster.lose_node,
        "worker killed": lambda _: os.kill(runs["worker killed"].tasks()[BATCH]["pid"], signal.SIGKILL),
    }

    def all_happened():
        # Each as soon as its pod trains: on a busy machine one may have ended before another begins.
        for name in list(ahead):
            pod = batch_pod(cluster, runs[name])
            if pod is not None:
                ahead.pop(name)(pod)
        return not ahead

    runs["digits"].wait_for(all_happened, 300)
    return runs


def batch_pod(cluster, run):
    """The running pod of a run's batch; None where it doesn't train yet."""
    study = run.study()
    if study is None or not study.state.running():
        return None
    (owner,) = {lease["owner"] for lease in study.state.running().values()}
    for name in cluster.running():
        if owner in cluster.pods[name]["spec"]["containers"][0]["args"]:
            return name
    return None


# Where an event comes before the scheduler has read of the deferral, Airflow retries the task (apache/airflow#66374 and
# #72716): `SETTLE_S` makes that rare, a machine may still be slower.
@pytest.mark.parametrize(("name", "most_tries"), [("evicted", 2), ("evicted, deferred", 3), ("node gone", 3)])
def test_a_preempted_pod_is_retried_and_nothing_is_lost(runs, name, most_tries):
    run = runs[name]
    assert run.wait() == "success", run.story()
    is_whole(run, 4)
    assert 2 <= run.tasks()[BATCH]["try_number"] <= most_tries


def test_a_pod_outlives_its_worker_and_the_retry_goes_on_with_it(runs, cluster):
    run = runs["worker killed"]
    assert run.wait() == "success", run.story()
    is_whole(run, 4)
    assert run.tasks()[BATCH]["try_number"] == 2
    owner = f"pods/{run.run_id}/{BATCH}/-1"
    assert sum(owner in p["spec"]["containers"][0]["args"] for p in cluster.created) == 1


def test_a_deferred_task_that_is_out_of_time_gives_its_trial_back(runs):
    run = runs["out of time"]
    assert run.wait(400) == "success", run.story()
    is_whole(run, 4)
    assert run.tasks()[BATCH]["try_number"] >= 2
    log = run.log(BATCH)
    assert "execution_timeout deadline" in log
    assert "received SIGTERM" in log


@pytest.mark.parametrize(("name", "most_tries"), [("no image", 1), ("no image, deferred", 2)])
def test_an_image_that_is_not_there_fails_with_tries_left(runs, name, most_tries):
    run = runs[name]
    assert run.wait() == "failed", run.story()
    task = run.tasks()[BATCH]
    assert task["state"] == "failed"
    assert task["try_number"] <= most_tries < task["max_tries"]
    assert "missing:1" in run.log(BATCH)


def test_the_digits_are_retuned_in_pods(runs, cluster):
    run = runs["digits"]
    assert run.wait(400) == "success", run.story()
    is_whole(run, 4)
    assert "val_accuracy" in run.log(BATCH)


def test_no_pod_is_left_and_no_secret_shows(runs, cluster):
    for run in runs.values():
        run.wait(400)
    assert cluster.pods == {}
    shown = [json.dumps(pod) for pod in cluster.created]
    for run in runs.values():
        for task_id, task in run.tasks().items():
            shown += [json.dumps(task["rendered_fields"]), run.log(task_id)]
    assert len(shown) > 40
    assert not [text for text in shown if CANARY in text]
