"""Retunes a classifier of handwritten digits: 12 trials in 2 lanes, the best model published.

The model and its data are in the package `digits` beside this file; this file imports no Keras, so it costs
the DAG processor nothing. Set KTCOMPONENT_STORAGE to any fsspec URL to keep studies there.
"""

import os

import pendulum
from airflow.sdk import DAG
from ktcomponent_airflow import RUN_FOLDER, TuningTaskGroup

STORAGE = os.environ.get("KTCOMPONENT_STORAGE", "file:///tmp/ktcomponent")

with DAG(
    "digits_retune",
    description="Retune a Keras model and publish the best one.",
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
        oracle={"class": "RandomSearch", "objective": "val_accuracy", "max_trials": 12, "seed": 7},
        lanes=2,
        batch_size=3,
        top_k=2,
        min_trials=6,
    )
