"""What a study costs: commits and bytes a trial, for searches of several lengths in five steps each.

The bound: two commits a trial (claim, finish), two more a step, one for the creation and one for the end, each
of at most 4 KiB beside the trial's own values, however many trials there are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

STEPS = 5
LIMIT = 4096
HEADER = (
    "trials",
    "steps",
    "commits",
    "bound",
    "per trial",
    "claim B",
    "finish B",
    "largest B",
    "ms/trial",
    "snapshots B",
)


def main() -> bool:
    print("Study on local disk, a no-op objective with 8 hyperparameters, one process, every commit synced")
    print("  ".join(f"{name:>11}" for name in HEADER))
    kept = [_measure(trials) for trials in (10, 100, 1000)]
    print(
        f"Bound of two commits a trial, and {LIMIT} B beside its values: {'kept' if all(kept) else 'BROKEN'}\n"
    )
    return all(kept)


def _measure(trials: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder, "study")
        for _ in range(STEPS):
            _step(study, trials)
        entries = [
            (path.stat().st_size, json.loads(path.read_text())) for path in sorted((study / "log").iterdir())
        ]
        snapshots = sum(path.stat().st_size for path in (study / "snapshots").glob("*"))
    ops = Counter(entry["op"] for _, entry in entries)
    bound = 2 * trials + 2 * STEPS + 1 + ops["stop"]
    # What a commit weighs beside the values of its trial.
    net = [size - _values_size(entry) for size, entry in entries if entry["op"] != "create"]
    row = (
        trials,
        STEPS,
        len(entries),
        bound,
        f"{len(entries) / trials:.2f}",
        _mean(entries, "claim"),
        _mean(entries, "finish"),
        max(net),
        f"{_milliseconds(entries, trials):.1f}",
        snapshots,
    )
    print("  ".join(f"{value!s:>11}" for value in row))
    return len(entries) <= bound and max(net) <= LIMIT


def _step(study: Path, trials: int) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "ktcomponent", "step", "--study", str(study)),
            *("--hypermodel", "benchmarks.objectives:no_op", "--batch-size", str(trials // STEPS)),
            *("--oracle", json.dumps({"class": "RandomSearch", "max_trials": trials, "seed": 1})),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
    )


def _values_size(entry: dict[str, object]) -> int:
    size = 0
    for change in entry["patch"]:  # type: ignore[attr-defined]
        if "values" in change[1]:
            size += len(json.dumps(change, separators=(",", ":")))
        elif len(change[1]) == 3 and isinstance(change[2], dict):
            size += len(json.dumps(change[2].get("values", {}), separators=(",", ":")))
    return size


def _mean(entries: list[tuple[int, dict[str, object]]], op: str) -> int:
    sizes = [size for size, entry in entries if entry["op"] == op]
    return round(sum(sizes) / len(sizes))


def _milliseconds(entries: list[tuple[int, dict[str, object]]], trials: int) -> float:
    """From the first claim to the last finish of each step, by the writers' clock."""
    total = 0.0
    first: float | None = None
    last = 0.0
    for _, entry in [*entries, (0, {"op": "takeover", "time": entries[-1][1]["time"]})]:
        moment = _seconds(str(entry["time"]))
        if entry["op"] == "takeover" and first is not None:
            total += last - first
            first = None
        if entry["op"] == "claim" and first is None:
            first = moment
        if entry["op"] == "finish":
            last = moment
    return 1000 * total / trials


def _seconds(text: str) -> float:
    import datetime

    return datetime.datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
