"""What `search()` adds to a bare loop that trains the same models, here and in KerasTuner, in one run.

All three clear Keras's session before each model, train the same network for two epochs, and save the weights of the
best epoch. Each runs in processes of its own, in turn; a trial's time is the time from its end to the end of the one
before it. The bounds: our overhead is at most KerasTuner's, and memory does not grow over 200 trials.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

KINDS = ("bare loop", "keras_tuner", "ktcomponent")
TRIALS = 200
ROUNDS = 2
WARM_UP = 20
"""Trials that are not counted: the first ones import, trace and fill caches."""
GROWTH = 0.05
"""How much more memory the last quarter of the trials may take than the second one."""


def main() -> bool:
    print(f"Overhead of search() over a bare loop, {ROUNDS} times {TRIALS} trials each, one thread, CPU")
    runs: dict[str, list[dict[str, list[float]]]] = {kind: [] for kind in KINDS}
    for turn in range(ROUNDS):
        for kind in KINDS if turn % 2 == 0 else KINDS[::-1]:
            runs[kind].append(_run(kind))
    times = {k: statistics.median(t for run in v for t in run["seconds"][WARM_UP:]) for k, v in runs.items()}
    growth = {k: max(_growth(run["memory"]) for run in v) for k, v in runs.items()}
    print(f"{'':>12}  {'ms/trial':>9}  {'overhead ms':>11}  {'memory MiB':>10}  {'growth':>7}")
    for kind, run in runs.items():
        overhead = 1000 * (times[kind] - times["bare loop"])
        print(
            f"{kind:>12}  {1000 * times[kind]:>9.1f}  {overhead:>11.1f}  {run[-1]['memory'][-1] / 2**20:>10.0f}  "
            f"{growth[kind]:>7.1%}"
        )
    cheap = times["ktcomponent"] <= times["keras_tuner"]
    flat = growth["ktcomponent"] <= GROWTH
    print(f"Overhead at most KerasTuner's: {'kept' if cheap else 'BROKEN'}")
    print(
        f"Memory grows by at most {GROWTH:.0%} from trial {TRIALS // 2} to {TRIALS}: {'kept' if flat else 'BROKEN'}\n"
    )
    return cheap and flat


def _growth(memory: list[float]) -> float:
    """From the second quarter of the trials to the last one."""
    quarter = len(memory) // 4
    return statistics.fmean(memory[-quarter:]) / statistics.fmean(memory[quarter : 2 * quarter]) - 1


def _run(kind: str) -> dict[str, list[float]]:
    threads = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    env = {**os.environ, **dict.fromkeys(threads, "1"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.engine_overhead", kind]
    done = subprocess.run(
        command, env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    measured: dict[str, list[float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


# -- in a process of its own -----------------------------------------------------------------------------------


def _measure(kind: str) -> None:
    import keras
    import numpy as np
    import psutil

    x = np.linspace(-1, 1, 256, dtype="float32")[:, None]
    fit = {"validation_data": (x, x**2), "epochs": 2, "verbose": 0}
    process = psutil.Process()
    ends, memory = [time.perf_counter()], []

    def build(hp):
        rate = hp.Float("rate", 1e-3, 1e-1, sampling="log")
        model = keras.Sequential(
            [keras.Input((1,)), keras.layers.Dense(32, activation="tanh"), keras.layers.Dense(1)]
        )
        model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=False)
        return model

    def note() -> None:
        ends.append(time.perf_counter())
        memory.append(process.memory_info().rss)

    with tempfile.TemporaryDirectory() as folder:
        if kind == "bare loop":
            for number, rate in enumerate(_rates()):
                keras.backend.clear_session()
                gc.collect()
                checkpoint = keras.callbacks.ModelCheckpoint(
                    str(Path(folder, f"{number}.weights.h5")),
                    "val_loss",
                    save_best_only=True,
                    save_weights_only=True,
                )
                build(_Fixed(rate)).fit(x, x**2, **fit, callbacks=[checkpoint])
                note()
        else:
            package = __import__(kind)

            class Noting(package.RandomSearch):
                def on_trial_end(self, trial):
                    super().on_trial_end(trial)
                    note()

            tuner = Noting(build, "val_loss", max_trials=TRIALS, seed=1, directory=folder, project_name="p")
            tuner.search(x, x**2, **fit)
    seconds = [b - a for a, b in itertools.pairwise(ends)]
    print(json.dumps({"seconds": seconds, "memory": memory}))


class _Fixed:
    """The hyperparameters of one model of the bare loop."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def Float(self, *_: object, **__: object) -> float:
        return self._rate


def _rates() -> Iterator[float]:
    numbers = random.Random(1)
    return (1e-3 * 100 ** numbers.random() for _ in range(TRIALS))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _measure(sys.argv[1])
    else:
        sys.exit(0 if main() else 1)
