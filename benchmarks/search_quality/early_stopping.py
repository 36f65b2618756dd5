"""What stopping rules save of a search of 60 trials, and what they cost: the same searches with a rule and without.

    python -m benchmarks.search_quality.early_stopping

With `--also 36 80` also searches of so many trials: a shorter one without a rule, and one that has what a rule saves for more trials.

On trainings replayed from the table of curves; or on those on which rules are developed: `--set grids` for all of `grids.py`, or one of them by its name,
where what counts is the part of all configurations that is better than the best one found; or those of `trainings.py` (`--set friedman`).
Or searches of `live.py`, in which Keras trained: `--set live`, and `--set live-unseen` for images that the search had not judged by.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from benchmarks.search_quality import live
from benchmarks.search_quality.grids import GRIDS, grid
from benchmarks.search_quality.multi_fidelity import made, trained
from benchmarks.search_quality.replay import run
from benchmarks.search_quality.trainings import NAMES
from ktcomponent.oracles.stopping import RULES

ORACLES = {"random": "RandomSearchOracle", "bayesian": "BayesianOptimizationOracle"}


def error(values: np.ndarray) -> float:
    """The standard error of their mean."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def searched(name: str, oracle: str, seed: int, trials: int, rule: str | None) -> tuple[int, float]:
    """How many epochs a search took; and the loss that it came to, or on a grid the part of configurations with a smaller one."""
    if name in live.MEASURES:
        found = live.searched((oracle, trials, rule, seed))
        return found["epochs"], found[live.MEASURES[name]]
    on_grid = grid(name) if name in GRIDS else None
    table = on_grid or trained(name)
    found = run(
        made("ktcomponent", oracle, table, seed, max_trials=trials, stopping=live.SETTINGS.get(rule, rule)),
        table,
    )
    reached = found["reached"]
    return found["epochs"], reached if on_grid is None else float(np.mean(on_grid.losses[:, -1] < reached))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--also", type=int, nargs="*", default=[], help="other numbers of trials")
    parser.add_argument(
        "--set", choices=["reported", "grids", *GRIDS, *NAMES, *live.MEASURES], default="reported"
    )
    parser.add_argument("--searches", default=",".join(ORACLES))
    parser.add_argument("--rules", default=",".join(RULES), help="compared with none")
    options = parser.parse_args()
    names = GRIDS if options.set == "grids" else [options.set]
    measure = "better configurations" if names[0] in GRIDS else "best loss"
    counts = [options.trials, *options.also]
    print(
        f"{options.set}: {options.seeds} seeds; the difference is that to {options.trials} trials without a rule"
    )
    print(
        f"| search | rule | trials | epochs | {measure} | standard error | difference | standard error |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for search in options.searches.split(","):
        without = np.zeros((0, 2))
        for rule, trials in itertools.product((None, *options.rules.split(",")), counts):
            found = np.array(
                [
                    searched(name, ORACLES[search], seed, trials, rule)
                    for name in names
                    for seed in range(options.seeds)
                ]
            )
            without = without if len(without) else found
            part, best = found[:, 0].sum() / without[:, 0].sum(), found[:, 1]
            off = best - without[:, 1]
            print(
                f"| {search} | {rule or 'none'} | {trials} | {part:.0%} | {best.mean():.4f} | {error(best):.4f} "
                f"| {off.mean():+.4f} | {error(off):.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
