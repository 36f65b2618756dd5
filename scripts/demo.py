"""The main job, end to end: the DAG `digits_retune` in a real Airflow, then its model in a fresh process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from airflow_process import Airflow, exit_when_terminated

from ktcomponent.storage import open_storage
from ktcomponent.study import Study

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
DAG = "digits_retune"
LIMIT_S = 900


def main() -> int:
    exit_when_terminated()
    began = time.monotonic()
    studies = HOME / "studies"
    print("Starting Airflow (scheduler, DAG processor, API server; LocalExecutor on SQLite) ...", flush=True)
    env = {
        "KTCOMPONENT_STORAGE": studies.as_uri(),
        # Only the run that is started here, not the one that the weekly schedule would start.
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    }
    with Airflow(HOME / "airflow", ROOT / "dags", **env) as airflow:
        run_id = airflow.trigger(DAG)
        url = f"{studies.as_uri()}/{DAG}/{run_id.replace(':', '').replace('+', '-')}"
        print(f"{time.monotonic() - began:5.0f} s  DAG run {run_id}, study {url}", flush=True)
        state = _follow(airflow, run_id, url, began)
        if state != "success":
            return _explain(airflow, run_id, state)
    export = f"{url}/exports/result"
    print(f"{time.monotonic() - began:5.0f} s  loading the exported model in a fresh process", flush=True)
    check = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "check_export.py"), export],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if check.returncode:
        print(check.stderr, file=sys.stderr)
    print(f"Took {time.monotonic() - began:.0f} s.", flush=True)
    return check.returncode


def _follow(airflow: Airflow, run_id: str, url: str, began: float) -> str:
    """Prints what happens in the study until the DAG run has ended; returns its state."""
    told = 0
    study: Study | None = None
    while time.monotonic() - began < LIMIT_S:
        state = airflow.run_state(DAG, run_id)
        study = study or Study.find(open_storage(url))
        if study is not None:
            study.refresh()
            ended = [(i, t) for i, t in study.state.trials.items() if t["ended"] is not None]
            for trial_id, trial in sorted(ended, key=lambda item: item[1]["ended"])[told:]:
                score = trial["status"] if trial["score"] is None else f"{trial['score']:.4f}"
                planned = study.state.config["oracle"]["max_trials"]
                told += 1
                print(
                    f"{time.monotonic() - began:5.0f} s  {told:2} of {planned}: trial {trial_id}, {score}",
                    flush=True,
                )
        if state in ("success", "failed"):
            return state
        time.sleep(1)
    return "too slow"


def _explain(airflow: Airflow, run_id: str, state: str) -> int:
    print(f"The DAG run ended as: {state}", file=sys.stderr)
    for task_id, task in airflow.tasks(DAG, run_id).items():
        print(f"  {task_id}: {task['state']}", file=sys.stderr)
        if task["state"] in ("failed", "up_for_retry", "running"):
            print(airflow.task_log(DAG, run_id, task_id)[-3000:], file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
