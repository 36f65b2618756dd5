"""Searches in which Keras trains: what a stopping rule saves and costs where no training is the same twice.

    python -m benchmarks.search_quality.live
    python -m benchmarks.search_quality.early_stopping --set live

The first runs searches through `Tuner.search`, about three minutes of a core each, and keeps them in `results/live.jsonl`, one a line; it
goes on where it was. The second prints the table.

The program is that of the table of curves, over the ranges of its grid instead of the grid, and each training has a seed
of its own. A third of the images is trained with, by a third the search judges; the rest tells what its best model is worth.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

from benchmarks.search_quality import processes
from benchmarks.search_quality.curves import BATCH, EPOCHS, SPACE, TRAINED, build, digits
from benchmarks.search_quality.space import declare

KEPT = Path(__file__).parent / "results" / "live.jsonl"
RANGES = [dataclasses.replace(dimension, step=None) for dimension in SPACE]
MEASURES = {"live": "wrong", "live-unseen": "unseen_wrong"}
"""Of what a search tells: the part of images that its best model gets wrong, of those that it was chosen by, or of others."""

SETTINGS: dict[str | None, Any] = {"median-closer": {"rule": "median", "factor": 1.5}}
"""Rules with other arguments than by default."""

Job = tuple[str, int, str | None, int]
"""An oracle's class, how many trials it has, a rule or one of `SETTINGS`, and a seed."""


def search(job: Job) -> dict[str, Any]:
    """One search: its epochs, and what `MEASURES` says."""
    import keras
    import tensorflow as tf
    from sklearn.model_selection import train_test_split

    import ktcomponent

    name, trials, rule, seed = job
    keras.utils.set_random_seed(seed)
    epochs = 0

    def program(hp: Any) -> Any:
        declare(RANGES, hp)
        # All steps of an epoch in one call: the same training, in half the time.
        return build(hp.values, steps_per_execution=-(-TRAINED // BATCH))

    class Tuner(ktcomponent.Tuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            keras.utils.set_random_seed(zlib.crc32(f"{seed}/{trial.trial_id}".encode()))
            return super().run_trial(trial, *args, **kwargs)

        def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
            nonlocal epochs
            epochs += 1
            super().on_epoch_end(trial, model, epoch, logs)

    x, y = digits()
    x, rest_x, y, rest_y = train_test_split(x, y, train_size=TRAINED, random_state=0, stratify=y)
    by_x, unseen_x, by_y, unseen_y = train_test_split(
        rest_x, rest_y, train_size=0.5, random_state=0, stratify=rest_y
    )
    oracle = getattr(ktcomponent.oracles, name)(
        "val_accuracy", max_trials=trials, seed=seed, stopping=SETTINGS.get(rule, rule)
    )
    with tempfile.TemporaryDirectory() as folder:
        tuner = Tuner(oracle, program, directory=folder, project_name="live")
        tuner.search(
            tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(BATCH),
            validation_data=tf.data.Dataset.from_tensors((by_x, by_y)),
            epochs=EPOCHS,
            verbose=0,
        )
        [model] = tuner.get_best_models()
        _, right = model.evaluate(unseen_x, unseen_y, verbose=0)
        [best] = oracle.get_best_trials()
    return {
        "search": name,
        "trials": trials,
        "rule": rule,
        "seed": seed,
        "epochs": epochs,
        "wrong": round(1.0 - best.score, 6),
        "unseen_wrong": round(1.0 - right, 6),
    }


def kept() -> dict[Job, dict[str, Any]]:
    """The searches that were run."""
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    return {(r["search"], r["trials"], r["rule"], r["seed"]): r for r in map(json.loads, lines)}


def searched(job: Job) -> dict[str, Any]:
    """One that was kept.

    Raises:
        SystemExit: If it was not run.
    """
    found = kept().get(job)
    if found is None:
        raise SystemExit(
            f"The search {job} was not run yet: python -m benchmarks.search_quality.live runs it."
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--searches", default="BayesianOptimizationOracle,RandomSearchOracle")
    parser.add_argument("--rules", default="median,curve", help="beside none")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    done = kept()
    jobs = [
        job
        for name in options.searches.split(",")
        for seed in range(options.seeds)
        for rule in (None, *options.rules.split(","))
        if (job := (name, options.trials, rule, seed)) not in done
    ]
    for job, result in processes.each(search, jobs, options.workers):
        if isinstance(result, Exception):
            print(f"no result of {job}: {result}", file=sys.stderr)
            continue
        with KEPT.open("a") as file:
            file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
