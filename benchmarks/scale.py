"""How many workers one study carries, simulated: every request takes 50 ms, in virtual time.

Each worker is a thread that runs the real `Study` on a storage in memory; a scheduler lets one run at a time and
moves the clock on. So the protocol is measured and not this machine: on 256 machines each has a processor of its own.

(a) Trials that take no time: every worker always wants to commit. The bound of one log is one commit for each
    GET + PUT, since who commits must have read the entry before.
(b) Trials of ten minutes, from five to fifteen: how long a worker waits for its claim.
"""

from __future__ import annotations

import heapq
import itertools
import random
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ktcomponent.clock import Clock
from ktcomponent.storage import MemoryStorage
from ktcomponent.study import Draft, Study, StudyState, Writer, incarnations

LATENCY_S = 0.05
BOUND = 1 / (2 * LATENCY_S)
LEAST_SHARE, MOST_WAIT_S = 0.8, 1.0
WORKERS = (1, 4, 16, 64, 256)


class Simulation(Clock):
    """Virtual time: threads that sleep are woken in the order of their moments, one at a time."""

    def __init__(self) -> None:
        self._now = 0.0
        self._waiting: list[tuple[float, int, threading.Event]] = []
        self._number = itertools.count()
        self._done = threading.Event()

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        mine = threading.Event()
        heapq.heappush(self._waiting, (self._now + max(seconds, 0.0), next(self._number), mine))
        self._next()
        mine.wait()

    def _next(self) -> None:
        if not self._waiting:
            self._done.set()
            return
        self._now, _, event = heapq.heappop(self._waiting)
        event.set()

    def run(self, programs: Sequence[Callable[[], None]]) -> float:
        """Runs programs side by side; the virtual seconds that they took."""
        failures: list[BaseException] = []

        def thread(program: Callable[[], None], begins: threading.Event) -> None:
            begins.wait()
            try:
                program()
            except BaseException as error:  # noqa: BLE001 - told below
                failures.append(error)
            self._next()

        began = self._now
        threading.stack_size(256 * 1024)
        for program in programs:
            begins = threading.Event()
            heapq.heappush(self._waiting, (began, next(self._number), begins))
            threading.Thread(target=thread, args=(program, begins), daemon=True).start()
        self._next()
        self._done.wait()
        if failures:
            raise failures[0]
        return self._now - began


class SlowStorage(MemoryStorage):
    """Every request takes as long as one over a network; those of one round are on their way together."""

    def __init__(self, path: str, simulation: Simulation) -> None:
        super().__init__(path)
        self.clock = simulation
        self.requests = 0

    def _request(self, action: Callable[[], Any], requests: int = 1) -> Any:
        self.requests += requests
        self.clock.sleep(LATENCY_S / 2)
        result = action()
        self.clock.sleep(LATENCY_S / 2)
        return result

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return bool(self._request(lambda: MemoryStorage.put_if_absent(self, key, data)))

    def put(self, key: str, data: bytes) -> None:
        self._request(lambda: MemoryStorage.put(self, key, data))

    def get_many(self, keys: Sequence[str], limit: int | None = None) -> list[bytes | None]:
        found: list[bytes | None] = self._request(
            lambda: MemoryStorage.get_many(self, keys, limit), len(keys)
        )
        return found

    def delete(self, key: str) -> None:
        self._request(lambda: MemoryStorage.delete(self, key))


class Worker:
    """Claims and finishes trials of one study until there are as many as wanted."""

    def __init__(self, storage: SlowStorage, number: int, trials: int, seconds: Callable[[], float]) -> None:
        self._storage, self._number, self._trials, self._seconds = storage, number, trials, seconds
        self.waits: list[float] = []

    def run(self) -> None:
        clock = self._storage.clock
        study = Study.open(self._storage)
        writer = Writer(f"w{self._number}", incarnations.new_incarnation())
        incarnations.take_over(study, writer, "begins")
        while True:
            asked = clock.monotonic()
            claimed = study.commit(writer, self._claim)
            if claimed is None:
                return
            self.waits.append(clock.monotonic() - asked)
            clock.sleep(self._seconds())
            trial = claimed["trial"]
            patch = [["set", ["oracle", "trials", trial, "status"], "COMPLETED"]]
            study.commit(writer, lambda _, t=trial, p=patch: Draft("finish", t, 1, p))  # type: ignore[misc]

    def _claim(self, state: StudyState) -> Draft | None:
        number = len(state.trials)
        if number >= self._trials:
            return None
        record = {"number": number, "status": "RUNNING"}
        return Draft(
            "claim", str(number), 1, [["set", ["oracle", "trials", str(number)], record]], {"lease_s": 60}
        )


def simulate(workers: int, trials: int, seconds: Callable[[], float]) -> tuple[float, int, list[float], int]:
    """Virtual seconds, commits, the waits for claims, and requests; every trial must have been finished once."""
    path = f"scale-{workers}-{trials}-{random.random()}"
    document = [["set", ["config"], {"lease_s": 60}], ["set", ["oracle"], {"trials": {}}]]
    Study.create(MemoryStorage(path), Writer("maker", "m"), document)
    simulation = Simulation()
    storage = SlowStorage(path, simulation)
    team = [Worker(storage, n, trials, seconds) for n in range(workers)]
    took = simulation.run([worker.run for worker in team])
    state = Study.open(MemoryStorage(path)).state
    ended = [lease["state"] == "ended" and lease["attempt"] == 1 for lease in state.leases.values()]
    if len(ended) != trials or not all(ended):
        raise AssertionError(f"{sum(ended)} of {trials} trials ended")
    plain = MemoryStorage(path)
    for key in plain.list(""):
        plain.delete(key)
    return took, state.seq, [wait for worker in team for wait in worker.waits], storage.requests


def main() -> bool:
    random.seed(1)
    print(f"Many workers on one study, simulated with {1000 * LATENCY_S:.0f} ms a request")
    print(f"(a) trials that take no time; the bound of one log is {BOUND:.0f} commits a second")
    print("   workers   commits/s   share of bound   requests a trial")
    kept = []
    for workers in WORKERS:
        trials = max(100, 2 * workers)
        took, commits, _, requests = simulate(workers, trials, lambda: 0.0)
        rate = commits / took
        kept.append(workers == 1 or rate >= LEAST_SHARE * BOUND)
        print(f"{workers:>10}{rate:>12.1f}{rate / BOUND:>16.0%}{requests / trials:>18.1f}")
    print("(b) trials of 5 to 15 minutes; how long a worker waits for a claim, in seconds")
    print("   workers      median        99%         most   requests a trial")
    for workers in WORKERS:
        trials = 4 * workers
        _, _, waits, requests = simulate(workers, trials, lambda: random.uniform(300, 900))
        waits.sort()
        worst = waits[int(0.99 * (len(waits) - 1))]
        kept.append(worst <= MOST_WAIT_S)
        median = waits[len(waits) // 2]
        print(f"{workers:>10}{median:>12.2f}{worst:>11.2f}{waits[-1]:>13.2f}{requests / trials:>18.1f}")
    print(
        f"At least {LEAST_SHARE:.0%} of the bound, at most {MOST_WAIT_S} s: {'kept' if all(kept) else 'BROKEN'}\n"
    )
    return all(kept)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
