"""Runs searches, and keeps what each trial was worth: `results/<system>.jsonl`, one search a line.

    python -m benchmarks.search_quality.run --systems ours --set development --trials 40 --seeds 5

A search that is there is not run again; `--again` forgets a system's results first.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_quality import problems, processes
from benchmarks.search_quality.systems import SYSTEMS

RESULTS = Path(__file__).parent / "results"


def search(system: str, problem: problems.Problem, seed: int, trials: int, batch: int) -> dict[str, Any]:
    """One search: the least value so far after each trial, without noise."""
    rng = np.random.default_rng((seed, 3))
    made = SYSTEMS[system](problem.space, seed, trials)
    true: list[float | None] = []
    told: list[float | None] = []
    seconds = 0.0
    while len(true) < trials:
        began = time.process_time()
        asked = made.ask(min(batch, trials - len(true)))
        seconds += time.process_time() - began
        for handle, values in asked:
            try:
                loss: float | None = problem.told(values, rng)
                true.append(problem.value(values))
            except problems.Crash:
                loss = None
                true.append(None)
            told.append(loss)
            began = time.process_time()
            made.tell(handle, values, loss)
            seconds += time.process_time() - began
    return {
        "system": system,
        "problem": problem.name,
        "seed": seed,
        "trials": trials,
        "batch": batch,
        "true": true,
        "told": told,
        "seconds": round(seconds, 3),
    }


def _job(arguments: tuple[str, str, str, int, int, int]) -> dict[str, Any]:
    system, which, name, seed, trials, batch = arguments
    problem = next(p for p in getattr(problems, which)() if p.name == name)
    return search(system, problem, seed, trials, batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default="ours")
    parser.add_argument("--set", default="development", choices=("development", "reported"))
    parser.add_argument("--problems", default="", help="part of a name")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    systems = options.systems.split(",")
    done = set()
    for system in systems:
        path = options.results / f"{system}.jsonl"
        if options.again:
            path.unlink(missing_ok=True)
        if path.exists():
            for line in path.read_text().splitlines():
                r = json.loads(line)
                done.add((system, r["problem"], r["seed"], r["trials"], r["batch"]))
    # Seed by seed, so that what an interrupted run leaves compares all systems on all problems.
    jobs = [
        (system, options.set, problem.name, seed, options.trials, options.batch)
        for seed in range(options.seeds)
        for system in systems
        for problem in getattr(problems, options.set)()
        if options.problems in problem.name
        and (system, problem.name, seed, options.trials, options.batch) not in done
    ]
    for number, (job, result) in enumerate(processes.each(_job, jobs, options.workers)):
        if isinstance(result, Exception):  # a system that fails at one problem is judged by the others
            print(f"no result of {job}: {result}", file=sys.stderr)
            continue
        with (options.results / f"{result['system']}.jsonl").open("a") as file:
            file.write(json.dumps(result) + "\n")
        if sys.stderr.isatty():
            print(f"{number + 1} of {len(jobs)} searches", end="\r", file=sys.stderr)


if __name__ == "__main__":
    main()
