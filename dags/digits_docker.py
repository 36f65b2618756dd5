"""The digits retuned in containers of a Docker engine: 2 lanes, each batch a container.

The image holds the package `digits`: docker/example/Dockerfile builds it. Credentials of the storage come from the
Airflow connection `storage`. KTCOMPONENT_NETWORK, if set, is the containers' network mode.
"""

import os

import pendulum
from airflow.sdk import DAG
from ktcomponent_airflow import RUN_FOLDER, DockerTuningOperator, TuningTaskGroup

STORAGE = os.environ.get("KTCOMPONENT_STORAGE", "s3://tuning")

with DAG(
    "digits_docker",
    description="Retune a Keras model in Docker containers.",
    schedule="@weekly",
    start_date=pendulum.datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["ktcomponent"],
):
    TuningTaskGroup(
        study=f"{STORAGE}/{RUN_FOLDER}",
        hypermodel="digits.model:build",
        search_args="digits.data:load",
        oracle={"class": "RandomSearch", "objective": "val_accuracy", "max_trials": 8, "seed": 7},
        operator=DockerTuningOperator,
        task_args={
            "image": os.environ.get("KTCOMPONENT_IMAGE", "ktcomponent-digits"),
            "pull": "missing",
            "network_mode": os.environ.get("KTCOMPONENT_NETWORK"),
            "mem_limit": "8g",
            "storage_conn_id": "storage",
        },
        settings={"checkpoint-every": "1"},
        gpus=int(os.environ.get("KTCOMPONENT_GPUS", "0")),
        lanes=2,
        batch_size=2,
        min_trials=4,
    )
