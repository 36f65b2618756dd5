"""CPU seconds of one proposal with its tell, in a six-dimensional mixed space, on one thread.

python -m benchmarks.search_quality.latency --systems ours,optuna-gp --trials 25,50,100
python -m benchmarks.search_quality.latency --systems ours-late --trials 5000
"""

from __future__ import annotations

import argparse
import concurrent.futures
import math
import multiprocessing
import os
import time
from typing import Any

from benchmarks.search_quality.processes import ONE_THREAD
from benchmarks.search_quality.space import Dimension, category, real, whole
from benchmarks.search_quality.systems import SYSTEMS

SPACE: list[Dimension] = [
    real("a", 0, 1),
    real("b", 1e-4, 1, log=True),
    whole("c", 1, 64),
    whole("d", 8, 512, log=True),
    category("e", "x", "y", "z"),
    category("f", "p", "q"),
]
AROUND = 5
"""Proposals before and after each number of trials, of which the mean is printed."""


def loss(v: dict[str, Any]) -> float:
    off = (v["a"] - 0.3) ** 2 + abs(math.log10(v["b"]) + 2) * 0.3 + (v["c"] - 20) ** 2 / 1000
    return off + abs(math.log(v["d"] / 100)) * 0.2 + "xyz".index(v["e"]) * 0.1 + (v["f"] == "p") * 0.05


def measure(system: str, trials: int) -> list[float]:
    """The CPU seconds of each proposal of one search."""
    search = SYSTEMS[system](SPACE, 0, trials + AROUND)
    seconds = []
    for _ in range(trials + AROUND):
        began = time.process_time()
        ((handle, values),) = search.ask(1)
        search.tell(handle, values, loss(values))
        seconds.append(time.process_time() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default="ours")
    parser.add_argument("--trials", default="25,50,100,200,500,1000")
    options = parser.parse_args()
    marks = [int(n) for n in options.trials.split(",")]
    os.environ.update(ONE_THREAD)
    print("| | " + " | ".join(map(str, marks)) + " |\n|---|" + "---|" * len(marks))
    for system in options.systems.split(","):
        # In a process that is started anew, and so reads how many threads it may have.
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            seconds = pool.submit(measure, system, max(marks)).result()
        means = [sum(seconds[n - AROUND : n + AROUND]) / len(seconds[n - AROUND : n + AROUND]) for n in marks]
        print(f"| {system} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")


if __name__ == "__main__":
    main()
