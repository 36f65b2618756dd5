"""Searches over a fast function, for the tests that run DAGs in a real Airflow."""

import datetime
import os

from airflow.sdk import DAG, task
from ktcomponent_airflow import RUN_FOLDER, TuningOperator, TuningTaskGroup

STUDY = f"{os.environ['KTCOMPONENT_STORAGE']}/{RUN_FOLDER}"
AT_ONCE = {"retry_delay": datetime.timedelta(seconds=1), "retry_exponential_backoff": False}

for name, seconds in (("killed", "2"), ("ended", "60")):
    with DAG(name):
        TuningTaskGroup(
            study=STUDY,
            hypermodel="fast:objective",
            oracle={"max_trials": 6, "seed": 11},
            batch_size=6,
            env={"SECONDS": seconds},
            task_args=AT_ONCE,
        )

with DAG("one_lane_fails"):
    search = {"study": STUDY, "oracle": {"max_trials": 6, "seed": 11}, **AT_ONCE}
    prepare = TuningOperator(task_id="prepare", command="prepare", hypermodel="fast:objective", **search)
    export = TuningOperator(
        task_id="export", command="export", hypermodel="fast:objective", trigger_rule="all_done", **search
    )
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

with DAG("bad_preparation"):
    TuningTaskGroup(
        study=STUDY,
        hypermodel="fast:missing",
        oracle={"max_trials": 4, "seed": 11},
        batch_size=1,
        task_args=AT_ONCE,
    )

with DAG("retuned"):
    TuningTaskGroup(
        study=STUDY,
        warm_start=f"{os.environ['KTCOMPONENT_STORAGE']}/{{{{ dag.dag_id }}}}",
        hypermodel="fast:objective",
        oracle={"max_trials": 4, "seed": 11},
        batch_size=4,
        task_args=AT_ONCE,
    )

with DAG("two_lanes"):
    TuningTaskGroup(
        study=STUDY,
        hypermodel="fast:objective",
        oracle={"max_trials": 16, "seed": 11},
        lanes=2,
        batch_size=8,
        env={"SECONDS": "2"},
        task_args=AT_ONCE,
    )

with DAG("lanes_at_run_time"):

    @task
    def how_many():
        return 3

    TuningTaskGroup(
        study=STUDY,
        hypermodel="fast:objective",
        oracle={"max_trials": 6, "seed": 11},
        lanes=how_many(),
        batch_size=2,
        env={"SECONDS": "1"},
        task_args=AT_ONCE,
    )

with DAG("past_its_deadline"):
    TuningTaskGroup(
        study=STUDY,
        hypermodel="fast:objective",
        oracle={"max_trials": 60, "seed": 11},
        deadline="{{ (dag_run.run_after + macros.timedelta(seconds=20)).isoformat() }}",
        lanes=2,
        batch_size=30,
        env={"SECONDS": "1"},
        task_args=AT_ONCE,
    )

with DAG("out_of_time"):
    TuningTaskGroup(
        study=STUDY,
        hypermodel="fast:objective",
        oracle={"max_trials": 3, "seed": 11},
        batch_size=3,
        env={"SECONDS": "4"},
        task_args=AT_ONCE,
        batch_args={"execution_timeout": datetime.timedelta(seconds=9)},
    )
