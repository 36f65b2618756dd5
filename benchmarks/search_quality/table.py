"""Prints tables of the results: regret over that of random search with the same number of trials.

python -m benchmarks.search_quality.table --set development --trials 40
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_quality import problems
from benchmarks.search_quality.run import RESULTS

LEAST = 1e-6
"""Regrets below this part of random search's count as this part."""


def load(
    folder: Path, which: str, trials: int, batch: int
) -> dict[str, dict[tuple[str, int], dict[str, Any]]]:
    names = {p.name for p in getattr(problems, which)()}
    found: dict[str, dict[tuple[str, int], dict[str, Any]]] = defaultdict(dict)
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text().splitlines():
            r = json.loads(line)
            if r["problem"] in names and (r["trials"], r["batch"]) == (trials, batch):
                found[r["system"]][r["problem"], r["seed"]] = r
    return found


def regret(result: dict[str, Any], problem: problems.Problem) -> float:
    """Simple regret: of the trial that looks best, what it is really worth over the best there is."""
    told = [math.inf if t is None else t for t in result["told"]]
    best = int(np.argmin(told))
    true = result["true"][best]
    return math.inf if true is None else max(true - problem.best, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="development", choices=("development", "reported"))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--reference", default="random")
    options = parser.parse_args()
    found = load(options.results, options.set, options.trials, options.batch)
    all_problems = getattr(problems, options.set)()
    scale = {}
    for p in all_problems:
        regrets = [regret(r, p) for (name, _), r in found["random"].items() if name == p.name]
        scale[p.name] = float(np.exp(np.mean(np.log(np.maximum(regrets, 1e-300))))) if regrets else math.nan
    systems = sorted(found, key=lambda s: s != "ours")
    logs: dict[str, dict[str, dict[int, float]]] = {s: defaultdict(dict) for s in systems}
    for s in systems:
        for p in all_problems:
            for (name, seed), r in found[s].items():
                if name == p.name:
                    logs[s][p.name][seed] = math.log(max(regret(r, p) / scale[p.name], LEAST))
    print("| problem | category | " + " | ".join(systems) + " |\n|---|---|" + "---|" * len(systems))
    for p in all_problems:
        cells = []
        for s in systems:
            v = list(logs[s][p.name].values())
            cells.append(f"{math.exp(np.mean(v)):.3f} ({len(v)})" if v else "")
        print(f"| {p.name} | {p.category} | " + " | ".join(cells) + " |")
    for kind in [*dict.fromkeys(p.category for p in all_problems), "all"]:
        cells = []
        for s in systems:
            per = [
                np.mean(list(logs[s][p.name].values()))
                for p in all_problems
                if (kind in ("all", p.category)) and logs[s][p.name]
            ]
            cells.append(f"**{math.exp(np.mean(per)):.3f}**" if per else "")
        print(f"| {kind} | | " + " | ".join(cells) + " |")
    print()
    rng = np.random.default_rng(0)
    for s in systems[1:]:
        pairs = {
            p.name: [
                logs["ours"][p.name][k] - logs[s][p.name][k]
                for k in logs["ours"][p.name]
                if k in logs[s][p.name]
            ]
            for p in all_problems
        }
        pairs = {k: v for k, v in pairs.items() if v}
        if not pairs:
            continue
        mean = math.exp(np.mean([np.mean(v) for v in pairs.values()]))
        draws = [
            np.mean(
                [
                    np.mean(rng.choice(v, len(v)))
                    for v in (list(pairs.values())[i] for i in rng.integers(len(pairs), size=len(pairs)))
                ]
            )
            for _ in range(2000)
        ]
        low, high = np.exp(np.quantile(draws, [0.025, 0.975]))
        print(
            f"ours over {s}: {mean:.3f} (95% interval {low:.3f} to {high:.3f}), {sum(map(len, pairs.values()))} pairs"
        )


if __name__ == "__main__":
    main()
