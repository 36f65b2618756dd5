"""An objective written in the DAG file itself: its source is shipped to where it runs, with nothing else of this file.

The second task waits for the search as any other DAG could, without keeping a worker.
"""

import os

import pendulum
from airflow.sdk import DAG, task
from ktcomponent_airflow import RUN_FOLDER, StudySensor

STUDY = f"{os.environ.get('KTCOMPONENT_STORAGE', 'file:///tmp/ktcomponent')}/{RUN_FOLDER}"

with DAG(
    "objective_in_dag",
    description="Minimise a function of the DAG file.",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1),
    tags=["ktcomponent"],
):

    @task.tuning(study=STUDY, oracle={"class": "BayesianOptimization", "max_trials": 12, "seed": 7})
    def valley(hp, floor):
        import math

        x = hp.Float("x", -3, 3)
        ripple = 0.0
        rough = hp.Boolean("rough")
        with hp.conditional_scope("rough", [True]):
            if rough:
                ripple = hp.Float("ripple", 0.1, 1.0)
        return floor + x**2 + ripple * math.sin(5 * x) ** 2

    valley(floor=1.0)
    StudySensor(task_id="good_enough", study=STUDY, score=2.0, deferrable=True, poke_interval=2)
