"""What a batch adds around training, and what the operators add to parsing a DAG file.

A batch of one trial that takes no time is run as its user runs it: a fresh process for `ktcomponent step`, on a study on
local disk. What is left is ours: two interpreters, the study, two commits, and the proposal: a batch that asks the model imports
scipy, one of the first trials does not. `import tensorflow` and the start of a container come on top, whoever searches. Parsing is timed in fresh processes that have imported `airflow.sdk` before.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCHES, IMPORTS = 11, 11
BATCH_S, PARSE_MS = 1.0, 20.0

_IMPORT = """
import time
from airflow.sdk import DAG, BaseOperator, TaskGroup
began = time.perf_counter()
from ktcomponent_airflow import RUN_FOLDER, {names}
print((time.perf_counter() - began) * 1000)
"""


def main() -> bool:
    times = _batches()
    kept = True
    for what, some in (("one of the first", times[:BATCHES]), ("proposed by the model", times[BATCHES:])):
        batch = statistics.median(some)
        kept = kept and batch <= BATCH_S
        print(
            f"a batch of one trial that takes no time, {what}: {batch:.2f} s, median of {len(some)} (at most {BATCH_S:g} s)"
        )
    for names in ("TuningTaskGroup", "TuningTaskGroup, TuningOperator, DockerTuningOperator, StudySensor"):
        added = statistics.median(_import(names) for _ in range(IMPORTS))
        print(
            f"import of {names} after airflow.sdk: {added:.1f} ms, median of {IMPORTS} (at most {PARSE_MS:g} ms)"
        )
        kept = kept and added <= PARSE_MS
    added = statistics.median(_import("KubernetesTuningOperator") for _ in range(3))
    print(f"import of KubernetesTuningOperator, with Airflow's provider for Kubernetes: {added:.0f} ms\n")
    return kept


def _batches() -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "ktcomponent",
            "step",
            "--study",
            f"{folder}/study",
            "--owner",
            "bench",
        ]
        command += ["--hypermodel", "benchmarks.objectives:nothing", "--batch-size", "1"]
        oracle = {
            "class": "BayesianOptimization",
            "max_trials": 2 * BATCHES + 1,
            "num_initial_points": BATCHES + 1,
        }
        command += ["--oracle", json.dumps(oracle)]
        times = []
        for _ in range(2 * BATCHES + 1):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parent.parent)
            times.append(time.perf_counter() - began)
    return times[1:]  # the first creates the study


def _import(names: str) -> float:
    env = {**os.environ, "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(names=names)],
        check=True,
        capture_output=True,
        text=True,
        env=env,
    )
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
