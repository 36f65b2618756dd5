"""Wall time of a whole search over lanes, against its bound and against waves with a barrier.

Trials sleep for uneven times (log-normal, the same in every run), so that the cores of the machine don't matter. A lane runs
one `ktcomponent step` after another, as a chain of Airflow tasks does; waves start one step a lane and wait for all of
them before the next. The bound is the sum of the trials' times over the lanes.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.objectives import sleep_s

TRIALS, BATCH, MANY, PART = 320, 20, 8, 0.9


def main() -> bool:
    total = sum(sleep_s(number) for number in range(TRIALS))
    longest = max(sleep_s(number) for number in range(TRIALS))
    print(
        f"{TRIALS} trials of {total / TRIALS:.1f} s on average, the longest {longest:.1f} s; batches of {BATCH}"
    )
    took: dict[tuple[int, str], float] = {}

    def measure(lanes: int, how: str) -> None:
        took[lanes, how] = _search(lanes, {"lanes": _lanes, "waves": _waves}[how])

    for how in ("lanes", "waves"):
        measure(MANY, how)
    # Few lanes start a process so seldom that searches side by side don't disturb each other; of one, waves are lanes.
    few = ((1, "lanes"), (2, "lanes"), (2, "waves"), (4, "lanes"), (4, "waves"))
    _side_by_side([functools.partial(measure, *job) for job in few])
    print("| lanes | bound | lanes | of the bound | waves | of the bound |\n|---|---|---|---|---|---|")
    for lanes in (1, 2, 4, MANY):
        bound, wall = total / lanes, took[lanes, "lanes"]
        waves = took.get((lanes, "waves"))
        others = "| | |" if waves is None else f"| {waves:.1f} s | {bound / waves:.0%} |"
        print(f"| {lanes} | {bound:.1f} s | {wall:.1f} s | {bound / wall:.0%} {others}")
    print()
    return all(total / lanes / took[lanes, "lanes"] >= PART for lanes in (1, 2, 4, MANY))


def _search(lanes: int, run: Callable[[str, int], None]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        study = f"{folder}/study"
        oracle = f'{{"class": "GridSearch", "max_trials": {TRIALS}}}'
        subprocess.run(
            [
                sys.executable,
                "-m",
                "ktcomponent",
                "prepare",
                "--study",
                study,
                "--oracle",
                oracle,
                "--hypermodel",
                "benchmarks.objectives:Sleeping",
            ],
            check=True,
            capture_output=True,
            cwd=Path(__file__).parent.parent,
        )
        began = time.perf_counter()
        run(study, lanes)
        return time.perf_counter() - began


def _step(study: str, owner: str) -> int:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "ktcomponent",
            "step",
            "--study",
            study,
            "--owner",
            owner,
            "--hypermodel",
            "benchmarks.objectives:Sleeping",
            "--batch-size",
            str(BATCH),
        ],
        capture_output=True,
        cwd=Path(__file__).parent.parent,
        check=False,
    ).returncode


def _lanes(study: str, lanes: int) -> None:
    def lane(number: int) -> None:
        batch = 0
        while _step(study, f"lane-{number}-{batch}") == 0:
            batch += 1

    _side_by_side([functools.partial(lane, n) for n in range(lanes)])


def _waves(study: str, lanes: int) -> None:
    wave, codes = 0, [0]

    def batch(number: int) -> None:
        codes.append(_step(study, f"wave-{wave}-{number}"))

    while 0 in codes:
        codes.clear()
        _side_by_side([functools.partial(batch, n) for n in range(lanes)])
        wave += 1


def _side_by_side(jobs: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
