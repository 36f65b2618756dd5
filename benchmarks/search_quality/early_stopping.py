"""What stopping rules save of a search of 60 trials, and what they cost: the same searches with a rule and without.

    python -m benchmarks.search_quality.early_stopping

On trainings replayed from the table of curves, or on those of `trainings.py` (`--set friedman`), on which rules are developed.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.search_quality.multi_fidelity import made, trained
from benchmarks.search_quality.replay import run
from benchmarks.search_quality.trainings import NAMES
from ktcomponent.oracles.stopping import RULES

ORACLES = {"random": "RandomSearchOracle", "bayesian": "BayesianOptimizationOracle"}


def error(values: np.ndarray) -> float:
    """The standard error of their mean."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--set", choices=["reported", *NAMES], default="reported")
    parser.add_argument("--searches", default=",".join(ORACLES))
    parser.add_argument("--rules", default=",".join(RULES), help="compared with none")
    options = parser.parse_args()
    print(f"{options.set}: {options.trials} trials, {options.seeds} seeds")
    print(
        "| search | rule | epochs | best loss | standard error | difference to none | standard error |\n"
        "|---|---|---|---|---|---|---|"
    )
    for name in options.searches.split(","):
        without: list[dict[str, Any]] = []
        for rule in (None, *options.rules.split(",")):
            found = []
            for seed in range(options.seeds):
                table = trained(options.set)
                arguments = {"max_trials": options.trials, "stopping": rule}
                found.append(run(made("ktcomponent", ORACLES[name], table, seed, **arguments), table))
            without = without or found
            part = sum(r["epochs"] for r in found) / sum(r["epochs"] for r in without)
            off = np.array([a["reached"] - b["reached"] for a, b in zip(found, without, strict=True)])
            best = np.array([r["reached"] for r in found])
            print(
                f"| {name} | {rule} | {part:.0%} | {best.mean():.4f} | {error(best):.4f} "
                f"| {off.mean():+.4f} | {error(off):.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
