"""The digits retuned by Hyperband over 4 lanes: trials of a round run side by side, the best go on with more epochs."""

import os

import pendulum
from airflow.sdk import DAG
from ktcomponent_airflow import RUN_FOLDER, TuningTaskGroup

STORAGE = os.environ.get("KTCOMPONENT_STORAGE", "file:///tmp/ktcomponent")

with DAG(
    "digits_hyperband",
    description="Retune a Keras model with Hyperband over 4 lanes.",
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
        oracle={
            "class": "Hyperband",
            "objective": "val_accuracy",
            "max_epochs": 4,
            "factor": 2,
            "seed": 7,
        },
        lanes=4,
        batch_size=4,
        batch_args={"max_active_tis_per_dagrun": 4},
    )
