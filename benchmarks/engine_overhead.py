"""What `search()` adds to a bare loop that trains the same models, here and in KerasTuner, in one run.

All three clear Keras's session before each model, train the same network for two epochs, and save the weights of the
best epoch. Each runs in processes of its own, in turn; a trial's time is the time from the end of the one before it to
its own end. The bounds: our overhead is at most KerasTuner's, and memory does not grow over 200 trials.
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
TRIALS = 30
ROUNDS = 2
WARM_UP = 5
"""Trials that are not counted: the first ones import, trace and fill caches."""
MANY = 200
GROWTH = 0.02
"""How much more memory the last quarter of many trials may take than the second quarter."""


def main() -> bool:
    print(f"search() and a bare loop, {ROUNDS} times {TRIALS} trials each, in turn, one thread, CPU")
    runs: dict[str, list[dict[str, list[float]]]] = {kind: [] for kind in KINDS}
    for turn in range(ROUNDS):
        for kind in KINDS if turn % 2 == 0 else KINDS[::-1]:
            runs[kind].append(_run(kind, TRIALS))
    times = {k: statistics.median(t for run in v for t in run["seconds"][WARM_UP:]) for k, v in runs.items()}
    print(f"{'':>12}  {'ms/trial':>9}  {'overhead ms':>11}  {'MiB more a trial':>16}")
    for kind, run in runs.items():
        overhead = 1000 * (times[kind] - times["bare loop"])
        more = statistics.fmean(_slope(each["memory"]) for each in run) / 2**20
        print(f"{kind:>12}  {1000 * times[kind]:>9.1f}  {overhead:>11.1f}  {more:>16.2f}")
    cheap = times["ktcomponent"] <= times["keras_tuner"]
    print(f"Overhead at most KerasTuner's: {'kept' if cheap else 'BROKEN'}")
    memory = _run("ktcomponent", MANY)["memory"]
    quarter = MANY // 4
    before, after = (statistics.fmean(memory[i : i + quarter]) for i in (quarter, MANY - quarter))
    flat = after <= before * (1 + GROWTH)
    print(
        f"Resident memory over {MANY} trials of ours, second and last quarter: {before / 2**20:.0f} and "
        f"{after / 2**20:.0f} MiB; at most {GROWTH:.0%} more: {'kept' if flat else 'BROKEN'}\n"
    )
    return cheap and flat


def _slope(memory: list[float]) -> float:
    """Bytes a trial, after the warm-up."""
    return (memory[-1] - memory[WARM_UP]) / (len(memory) - 1 - WARM_UP)


def _run(kind: str, trials: int) -> dict[str, list[float]]:
    threads = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    env = {**os.environ, **dict.fromkeys(threads, "1"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.engine_overhead", kind, str(trials)]
    done = subprocess.run(
        command, env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    measured: dict[str, list[float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


# -- in a process of its own -----------------------------------------------------------------------------------


def _measure(kind: str, trials: int) -> None:
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
            for number, rate in enumerate(_rates(trials)):
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

            tuner = Noting(build, "val_loss", max_trials=trials, seed=1, directory=folder, project_name="p")
            tuner.search(x, x**2, **fit)
    seconds = [b - a for a, b in itertools.pairwise(ends)]
    print(json.dumps({"seconds": seconds, "memory": memory}))


class _Fixed:
    """The hyperparameters of one model of the bare loop."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def Float(self, *_: object, **__: object) -> float:
        return self._rate


def _rates(trials: int) -> Iterator[float]:
    numbers = random.Random(1)
    return (1e-3 * 100 ** numbers.random() for _ in range(trials))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _measure(sys.argv[1], int(sys.argv[2]))
    else:
        sys.exit(0 if main() else 1)
