"""Searches over a fast function, for the tests that run DAGs in a real Airflow."""

import datetime
import os

from airflow.sdk import DAG
from ktcomponent_airflow import RUN_FOLDER, ExportOperator, PrepareOperator, TuningOperator, TuningTaskGroup

STUDY = f"{os.environ['KTCOMPONENT_STORAGE']}/{RUN_FOLDER}"
AT_ONCE = {"retry_delay": datetime.timedelta(seconds=1), "retry_exponential_backoff": False}

with DAG("killed"):
    TuningTaskGroup(
        study=STUDY,
        hypermodel="fast:objective",
        oracle={"max_trials": 6, "seed": 11},
        batch_size=6,
        env={"SECONDS": "2"},
        task_args=AT_ONCE,
    )

with DAG("one_lane_fails"):
    search = {"study": STUDY, "oracle": {"max_trials": 6, "seed": 11}, **AT_ONCE}
    prepare = PrepareOperator(task_id="prepare", hypermodel="fast:objective", **search)
    export = ExportOperator(task_id="export", hypermodel="fast:objective", trigger_rule="all_done", **search)
    for lane, hypermodel in (("good", "fast:objective"), ("bad", "fast:missing")):
        first, second = (
            TuningOperator(
                task_id=f"{lane}_{n}",
                hypermodel=hypermodel,
                batch_size=3,
                trigger_rule="all_success" if n == 1 else "none_skipped",
                **search,
            )
            for n in (1, 2)
        )
        prepare >> first >> second >> export
