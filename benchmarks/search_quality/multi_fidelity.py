"""Epochs until a search has fully trained one of the best 1% of configurations, and how busy 8 lanes are.

    python -m benchmarks.search_quality.multi_fidelity --systems keras-tuner,random,hyperband,asha

On trainings replayed from a table of curves. `keras-tuner` needs keras-tuner in the environment.
"""

from __future__ import annotations

import argparse
import importlib
import math
import tempfile
from typing import Any

import numpy as np

from benchmarks.search_quality.curves import EPOCHS, TABLES
from benchmarks.search_quality.replay import Table, run
from benchmarks.search_quality.space import declare

MOST = 20_000
"""A search that hasn't found one after so many epochs counts with as many."""


def made(package: str, name: str, table: Table, seed: int, **arguments: Any) -> Any:
    """An oracle of a package, for the space of a table."""
    module = importlib.import_module(package)
    if package == "keras_tuner":
        # It draws its n-th value with the seed plus n, so searches with seeds in a row soon fall into step; and 0 is no seed to it.
        seed = 1 + 1_000_000 * seed
    hp = module.HyperParameters()
    declare(table.space, hp)
    oracle = getattr(importlib.import_module(f"{package}.oracles"), name)(
        objective=module.Objective("loss", "min"), hyperparameters=hp, seed=seed, **arguments
    )
    oracle.verbose = 0
    if hasattr(oracle, "_set_project_dir"):
        oracle._set_project_dir(tempfile.mkdtemp(), "search")
    return oracle


SYSTEMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "keras-tuner": ("keras_tuner", "HyperbandOracle", {"max_epochs": EPOCHS, "hyperband_iterations": 100}),
    "random": ("ktcomponent", "RandomSearchOracle", {"max_trials": None}),
    "bayesian": ("ktcomponent", "BayesianOptimizationOracle", {"max_trials": None}),
    "hyperband": (
        "ktcomponent",
        "HyperbandOracle",
        {"max_epochs": EPOCHS, "hyperband_iterations": None, "sampler": "bayesian"},
    ),
    "asha": ("ktcomponent", "AshaOracle", {"max_epochs": EPOCHS, "max_configurations": None}),
    "bayesian-curve": (
        "ktcomponent",
        "BayesianOptimizationOracle",
        {"max_trials": None, "stopping": {"rule": "curve", "max_steps": EPOCHS}},
    ),
}
"""Package, oracle, and its arguments."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default="random,bayesian,hyperband,asha")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--set", choices=list(TABLES), default="reported")
    options = parser.parse_args()
    table = Table(options.set)
    goal = table.good()
    print(
        f"{len(table.losses)} configurations; the best 1% get at most {goal:.4f} wrong; {options.lanes} lanes"
    )
    print("| | epochs (geometric mean) | least | most | never | lanes busy |\n|---|---|---|---|---|---|")
    for name in options.systems.split(","):
        found = []
        package, oracle_name, arguments = SYSTEMS[name]
        for seed in range(options.seeds):
            table = Table(options.set)
            oracle = made(package, oracle_name, table, seed, **arguments)
            found.append(run(oracle, table, options.lanes, 0.2, lambda best, n: best <= goal or n >= MOST))
        epochs = [r["epochs"] for r in found]
        never = sum(r["best"] > goal for r in found)
        mean = math.exp(np.mean(np.log(epochs)))
        busy = np.mean([r["busy"] for r in found])
        print(f"| {name} | {mean:.0f} | {min(epochs)} | {max(epochs)} | {never} | {busy:.2f} |", flush=True)


if __name__ == "__main__":
    main()
