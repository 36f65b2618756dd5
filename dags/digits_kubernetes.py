"""The digits retuned in pods: 2 lanes, each batch a pod, waited for in the triggerer so that no worker is kept.

The image holds the package `digits`: docker/example/Dockerfile builds it. The pods get the storage's options, as JSON for
fsspec, from the key `options` of the secret `storage`; the Airflow workers read the study by the connection `storage`.
"""

import os

import pendulum
from airflow.providers.cncf.kubernetes.secret import Secret
from airflow.sdk import DAG
from ktcomponent_airflow import RUN_FOLDER, KubernetesTuningOperator, TuningTaskGroup

STORAGE = os.environ.get("KTCOMPONENT_STORAGE", "s3://tuning")

with DAG(
    "digits_kubernetes",
    description="Retune a Keras model in Kubernetes pods.",
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
        oracle={"class": "RandomSearch", "objective": "val_accuracy", "max_trials": 4, "seed": 7},
        operator=KubernetesTuningOperator,
        task_args={
            "image": os.environ.get("KTCOMPONENT_IMAGE", "ktcomponent-digits"),
            "namespace": os.environ.get("KTCOMPONENT_NAMESPACE", "default"),
            "secrets": [Secret("env", "FSSPEC_S3", "storage", "options")],
            "storage_conn_id": "storage",
            "deferrable": True,
        },
        gpus=int(os.environ.get("KTCOMPONENT_GPUS", "0")),
        lanes=2,
        batch_size=2,
    )
