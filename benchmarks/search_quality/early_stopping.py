"""What stopping rules save of a search of 60 trials, and what they cost: the same searches with a rule and without.

    python -m benchmarks.search_quality.early_stopping

On trainings replayed from the table of curves.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.search_quality.multi_fidelity import made
from benchmarks.search_quality.replay import Table, run

ORACLES = {"random": "RandomSearchOracle", "bayesian": "BayesianOptimizationOracle"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    options = parser.parse_args()
    table = Table()
    print(f"{len(table.losses)} configurations, {options.trials} trials, {options.seeds} seeds")
    print(
        "| search | rule | epochs | best loss | difference to none | standard error |\n|---|---|---|---|---|---|"
    )
    for name, oracle in ORACLES.items():
        without: list[dict[str, Any]] = []
        for rule in (None, "median", "asha", "curve"):
            found = [
                run(made("ktcomponent", oracle, s, max_trials=options.trials, stopping=rule), Table())
                for s in range(options.seeds)
            ]
            without = without or found
            part = sum(r["epochs"] for r in found) / sum(r["epochs"] for r in without)
            off = np.array([a["reached"] - b["reached"] for a, b in zip(found, without, strict=True)])
            best = np.array([r["reached"] for r in found])
            error = np.std([r["reached"] for r in without], ddof=1) / np.sqrt(len(off))
            print(
                f"| {name} | {rule} | {part:.0%} | {best.mean():.4f} | {off.mean():+.4f} | {error:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
