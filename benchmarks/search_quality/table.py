"""Prints tables of the results: regret over that of random search with the same number of trials.

    python -m benchmarks.search_quality.table --set reported --trials 40 --batch 1

`--at 20` looks at the first 20 trials of searches of 40. No system but SMAC plans by the number of trials.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_quality import problems
from benchmarks.search_quality.run import RESULTS

LEAST = 1e-6
"""Regrets below this part of random search's count as this part."""
MOMENTS = (5, 10, 15, 20, 25, 30, 35, 40, 60, 80, 100)
RESAMPLES = 4000

Results = dict[str, dict[tuple[str, int], dict[str, Any]]]
Logs = dict[str, dict[int, float]]
"""Of each problem and seed the logarithm of the regret over random search's."""


def load(folder: Path, which: str, trials: int, batch: int) -> Results:
    """The results of each system, by problem and seed."""
    names = {p.name for p in getattr(problems, which)()}
    found: Results = defaultdict(dict)
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            r = json.loads(line)
            if r["problem"] in names and (r["trials"], r["batch"]) == (trials, batch):
                found[r["system"]][r["problem"], r["seed"]] = r
    return found


def regret(result: Mapping[str, Any], problem: problems.Problem, at: int) -> float:
    """Simple regret: of the trial that looks best, what it is really worth over the best there is."""
    told = [math.inf if t is None else t for t in result["told"][:at]]
    true = result["true"][int(np.argmin(told))]
    return math.inf if true is None else max(true - problem.best, 0.0)


def log_regrets(found: Results, which: Sequence[problems.Problem], at: int) -> dict[str, Logs]:
    """Of each system."""
    logs: dict[str, Logs] = {system: defaultdict(dict) for system in found}
    for problem in which:
        regrets = {
            (system, seed): regret(r, problem, at)
            for system, results in found.items()
            for (name, seed), r in results.items()
            if name == problem.name
        }
        randoms = [max(r, 1e-300) for (system, _), r in regrets.items() if system == "random"]
        scale = math.exp(np.mean(np.log(randoms))) if randoms else math.nan
        for (system, seed), r in regrets.items():
            logs[system][problem.name][seed] = math.log(min(max(r / scale, LEAST), 1.0 / LEAST))
    return logs


def differences(ours: Logs, theirs: Logs, names: Iterable[str]) -> list[list[float]]:
    """Of each problem, how far our logarithms are from theirs on the same seeds."""
    pairs = [[ours[p][k] - theirs[p][k] for k in ours[p] if k in theirs[p]] for p in names]
    return [p for p in pairs if p]


def ratio(pairs: Sequence[Sequence[float]]) -> str:
    """The geometric mean of ratios, each problem counted once, with its interval: problems and seeds are drawn anew."""
    if not pairs:
        return ""
    rng = np.random.default_rng(0)
    arrays = [np.array(p) for p in pairs]
    draws = []
    for _ in range(RESAMPLES):
        picked = [arrays[i] for i in rng.integers(len(arrays), size=len(arrays))]
        draws.append(np.mean([p[rng.integers(len(p), size=len(p))].mean() for p in picked]))
    low, high = np.exp(np.quantile(draws, [0.025, 0.975]))
    return f"{math.exp(np.mean([p.mean() for p in arrays])):.3f} ({low:.3f} to {high:.3f})"


def mean(logs: Logs, names: Iterable[str]) -> str:
    per = [np.mean(list(logs[p].values())) for p in names if logs[p]]
    return f"{math.exp(np.mean(per)):.3f}" if per else ""


def ranks(logs: Mapping[str, Logs], names: Sequence[str]) -> dict[str, float]:
    """The mean rank of each system, of problems and seeds that all have done; 1 is best."""
    systems = list(logs)
    rows = [
        [logs[s][p][k] for s in systems]
        for p in names
        for k in range(1000)
        if all(k in logs[s][p] for s in systems)
    ]
    if not rows:
        return {}
    values = np.array(rows)
    below = (values[:, None, :] < values[:, :, None]).sum(axis=2)
    same = (values[:, None, :] == values[:, :, None]).sum(axis=2)
    found = (below + (same + 1) / 2).mean(axis=0)
    return dict(zip(systems, found.tolist(), strict=True))


def show(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="development", choices=("development", "reported"))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--at", type=int)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    at = options.at or options.trials
    which = getattr(problems, options.set)()
    names = [p.name for p in which]
    found = load(options.results, options.set, options.trials, options.batch)
    logs = log_regrets(found, which, at)
    systems = sorted(logs, key=lambda s: (s != "ours", s == "random", s))
    logs = {s: logs[s] for s in systems}
    kinds = {
        kind: [p.name for p in which if p.category == kind]
        for kind in dict.fromkeys(p.category for p in which)
    }

    show(
        f"Regret over random search's after {at} trials, {options.batch} at a time (geometric mean; seeds)",
        ["problem", "category", *systems],
        [
            [p.name, p.category]
            + [
                f"{mean(logs[s], [p.name])} ({len(logs[s][p.name])})" if logs[s][p.name] else ""
                for s in systems
            ]
            for p in which
        ],
    )
    places = ranks(logs, names)
    show(
        "Of each category, and of all problems; mean rank",
        ["category", *systems],
        [
            *([kind, *(mean(logs[s], of) for s in systems)] for kind, of in kinds.items()),
            ["all", *(mean(logs[s], names) for s in systems)],
            ["rank", *(f"{places[s]:.2f}" if s in places else "" for s in systems)],
        ],
    )
    peers = [s for s in systems if s != "ours"]
    if "ours" in logs:
        show(
            "Ours over each, on the same problems and seeds (95% interval)",
            ["system", "all", *kinds, "pairs"],
            [
                [
                    s,
                    *(ratio(differences(logs["ours"], logs[s], of)) for of in (names, *kinds.values())),
                    str(sum(map(len, differences(logs["ours"], logs[s], names)))),
                ]
                for s in peers
            ],
        )
    moments = [m for m in MOMENTS if m <= options.trials]
    over_time = [log_regrets(found, which, m) for m in moments]
    show(
        "After so many trials, over random search's after as many",
        ["system", *map(str, moments)],
        [[s, *(mean(of[s], names) for of in over_time)] for s in systems],
    )


if __name__ == "__main__":
    main()
