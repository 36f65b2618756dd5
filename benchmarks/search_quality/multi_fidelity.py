"""Epochs until a search has fully trained one of the best 1% of configurations, and how busy 8 lanes are.

    python -m benchmarks.search_quality.multi_fidelity --systems keras-tuner,random,hyperband,asha

On trainings replayed from the table of curves. `keras-tuner` needs keras-tuner in the environment.
"""

from __future__ import annotations

import argparse
import importlib
import math
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.search_quality.curves import EPOCHS, SPACE
from benchmarks.search_quality.replay import Table, run
from benchmarks.search_quality.space import declare

MOST = 20_000
"""A search that hasn't found one after so many epochs counts with as many."""


def made(package: str, name: str, seed: int, **arguments: Any) -> Any:
    module = importlib.import_module(package)
    hp = module.HyperParameters()
    declare(SPACE, hp)
    oracle = getattr(importlib.import_module(f"{package}.oracles"), name)(
        objective=module.Objective("loss", "min"), hyperparameters=hp, seed=seed, **arguments
    )
    oracle.verbose = 0
    if hasattr(oracle, "_set_project_dir"):
        oracle._set_project_dir(tempfile.mkdtemp(), "search")
    return oracle


SYSTEMS: dict[str, Callable[[int], Any]] = {
    "keras-tuner": lambda seed: made(
        "keras_tuner", "HyperbandOracle", seed, max_epochs=EPOCHS, hyperband_iterations=100
    ),
    "random": lambda seed: made("ktcomponent", "RandomSearchOracle", seed, max_trials=None),
    "bayesian": lambda seed: made("ktcomponent", "BayesianOptimizationOracle", seed, max_trials=None),
    "hyperband": lambda seed: made(
        "ktcomponent",
        "HyperbandOracle",
        seed,
        max_epochs=EPOCHS,
        hyperband_iterations=None,
        sampler="bayesian",
    ),
    "asha": lambda seed: made("ktcomponent", "AshaOracle", seed, max_epochs=EPOCHS, max_configurations=None),
    "bayesian-curve": lambda seed: made(
        "ktcomponent",
        "BayesianOptimizationOracle",
        seed,
        max_trials=None,
        stopping={"rule": "curve", "max_steps": EPOCHS},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default="random,bayesian,hyperband,asha")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--lanes", type=int, default=1)
    options = parser.parse_args()
    table = Table()
    goal = table.good()
    print(
        f"{len(table.losses)} configurations; the best 1% get at most {goal:.4f} wrong; {options.lanes} lanes"
    )
    print("| | epochs (geometric mean) | least | most | never | lanes busy |\n|---|---|---|---|---|---|")
    for name in options.systems.split(","):
        found = []
        for seed in range(options.seeds):
            oracle = SYSTEMS[name](seed)
            found.append(run(oracle, Table(), options.lanes, 0.2, lambda best, n: best <= goal or n >= MOST))
        epochs = [r["epochs"] for r in found]
        never = sum(r["best"] > goal for r in found)
        mean = math.exp(np.mean(np.log(epochs)))
        busy = np.mean([r["busy"] for r in found])
        print(f"| {name} | {mean:.0f} | {min(epochs)} | {max(epochs)} | {never} | {busy:.2f} |", flush=True)


if __name__ == "__main__":
    main()
