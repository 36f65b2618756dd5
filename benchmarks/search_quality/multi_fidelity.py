"""Epochs until a search has fully trained one of the best 1% of configurations, and how busy 8 lanes are.

    python -m benchmarks.search_quality.multi_fidelity --systems keras-tuner,random,hyperband,asha
    python -m benchmarks.search_quality.multi_fidelity --set friedman --systems asha-random,asha

On trainings replayed from the table of curves, or on those of `trainings.py`, on which oracles are developed. `keras-tuner` needs
keras-tuner in the environment.
"""

from __future__ import annotations

import argparse
import importlib
import math
import tempfile
from typing import Any

import numpy as np

from benchmarks.search_quality.curves import EPOCHS
from benchmarks.search_quality.replay import Trained, reported, run
from benchmarks.search_quality.space import declare
from benchmarks.search_quality.systems import far_apart
from benchmarks.search_quality.trainings import NAMES, Trainings

MOST = 20_000
"""A search that hasn't found one after so many epochs counts with as many."""


def trained(name: str) -> Trained:
    """The trainings of one search."""
    return reported() if name == "reported" else Trainings(name)


def made(package: str, name: str, table: Trained, seed: int, **arguments: Any) -> Any:
    """An oracle of a package, for the space of a table."""
    module = importlib.import_module(package)
    hp = module.HyperParameters()
    declare(table.space, hp)
    oracle = getattr(importlib.import_module(f"{package}.oracles"), name)(
        objective=module.Objective("loss", "min"),
        hyperparameters=hp,
        seed=far_apart(seed, package),
        **arguments,
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
    "asha-random": (
        "ktcomponent",
        "AshaOracle",
        {"max_epochs": EPOCHS, "max_configurations": None, "sampler": "random"},
    ),
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
    parser.add_argument("--set", choices=["reported", *NAMES], default="reported")
    parser.add_argument("--most", type=int, default=MOST, help="epochs after which a search is given up")
    options = parser.parse_args()
    goal = trained(options.set).good()
    print(f"the best 1% of configurations come to at most {goal:.4f}; {options.lanes} lanes")
    print(
        "| | epochs (geometric mean) | error | least | most | never | lanes busy |\n|---|---|---|---|---|---|---|"
    )
    for name in options.systems.split(","):
        found = []
        package, oracle_name, arguments = SYSTEMS[name]
        for seed in range(options.seeds):
            table = trained(options.set)
            oracle = made(package, oracle_name, table, seed, **arguments)
            found.append(
                run(oracle, table, options.lanes, 0.2, lambda best, n: best <= goal or n >= options.most)
            )
        epochs = [r["epochs"] for r in found]
        never = sum(r["best"] > goal for r in found)
        logs = np.log(epochs)
        mean, error = math.exp(np.mean(logs)), np.std(logs, ddof=1) / math.sqrt(len(logs))
        busy = np.mean([r["busy"] for r in found])
        print(
            f"| {name} | {mean:.0f} | {error:.0%} | {min(epochs)} | {max(epochs)} | {never} | {busy:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
