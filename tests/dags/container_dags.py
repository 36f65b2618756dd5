"""Searches over a fast function, in pods of the loopback Kubernetes."""

import datetime
import os

from airflow.providers.cncf.kubernetes.secret import Secret
from airflow.sdk import DAG
from ktcomponent_airflow import RUN_FOLDER, KubernetesTuningOperator, TuningTaskGroup

STUDY = f"{os.environ['KTCOMPONENT_STORAGE']}/{RUN_FOLDER}"
PODS = {
    "image": "ktcomponent-trainer",
    "namespace": "tuning",
    "secrets": [Secret("env", "FSSPEC_S3", "storage", "options")],
    "storage_conn_id": "storage",
    "startup_check_interval_seconds": 1,
    "retry_delay": datetime.timedelta(seconds=1),
    "retry_exponential_backoff": False,
}


def parabola(hp, seconds):
    import time

    x = hp.Float("x", -1, 1)
    time.sleep(seconds)
    # Kubernetes expands this, unless it is told not to.
    if len("$$(HOME)") != 8:
        raise ValueError("the source has changed on its way")
    return x * x


def search(name, batch_args=None, **pods):
    with DAG(name):
        TuningTaskGroup(
            study=STUDY,
            hypermodel=parabola,
            search_kwargs={"seconds": 15},
            oracle={"max_trials": 4, "seed": 11},
            operator=KubernetesTuningOperator,
            task_args={**PODS, **pods},
            batch_args=batch_args,
            batch_size=4,
        )


search("pods")
search("pods_deferred", deferrable=True)
OUT_OF_TIME = datetime.timedelta(seconds=40)
search("pods_out_of_time", {"execution_timeout": OUT_OF_TIME}, deferrable=True)
for name, deferrable in (("pods_without_image", False), ("pods_without_image_deferred", True)):
    search(name, batch_args={"image": "nowhere.invalid/missing:1"}, deferrable=deferrable)
