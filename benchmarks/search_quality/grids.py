"""Tables of small networks' trainings on which stopping rules are developed: every configuration of a grid, 50 epochs each.

    python -m benchmarks.search_quality.grids

makes those that are missing, a few minutes of a core each, in `grids/`, which is not committed. scikit-learn's networks, on data that is
not the reported table's, but for "digits": there it is dense networks without dropout.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_quality.curves import EPOCHS, configurations
from benchmarks.search_quality.replay import Table
from benchmarks.search_quality.space import category, real, whole
from benchmarks.search_quality.trainings import TRAINED, Curve

FOLDER = Path(__file__).with_name("grids")
SPACE = [
    category("optimizer", "sgd", "adam"),
    real("momentum", 0.0, 0.9, step=0.9, parent=("optimizer", ("sgd",))),
    real("rate", 3e-4, 0.2187, log=True, step=3),
    whole("layers", 1, 2),
    whole("units", 8, 32, log=True, step=2),
    category("activation", "relu", "tanh", "logistic"),
    real("decay", 1e-4, 1.0, log=True, step=100),
]
GRIDS = ("digits", "cancer", "diabetes", "friedman2", "friedman1", "clusters", "shells", "swiss")
BATCH = 32


@functools.cache
def grid(name: str) -> Table:
    """The trainings of one of `GRIDS`.

    Raises:
        SystemExit: If it has not been made.
    """
    path = FOLDER / f"{name}.jsonl"
    if not path.exists():
        raise SystemExit(
            f"There is no grid {name!r} yet: run python -m benchmarks.search_quality.grids first."
        )
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return Table([(row["values"], row["losses"]) for row in rows], SPACE)


def _data(name: str) -> tuple[Any, Any]:
    from sklearn import datasets

    made = {
        "digits": lambda: datasets.load_digits(return_X_y=True),
        "cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
        "diabetes": lambda: datasets.load_diabetes(return_X_y=True),
        "friedman2": lambda: datasets.make_friedman2(1200, noise=50, random_state=5),
        "friedman1": lambda: datasets.make_friedman1(1200, 10, noise=1.0, random_state=5),
        "clusters": lambda: datasets.make_classification(
            1200, 15, n_informative=6, n_redundant=3, n_classes=5, n_clusters_per_class=2, random_state=5
        ),
        "shells": lambda: datasets.make_gaussian_quantiles(
            n_samples=1200, n_features=5, n_classes=3, random_state=5
        ),
        "swiss": lambda: datasets.make_swiss_roll(1200, noise=0.5, random_state=5),
    }
    x, y = made[name]()
    if y.dtype.kind == "f":
        y = (y - y.mean()) / y.std()
    order = np.random.default_rng(5).permutation(len(x))
    spread = x.std(axis=0)
    return ((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0))[order], y[order]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in GRIDS:
        path = FOLDER / f"{name}.jsonl"
        if path.exists():
            continue
        data = _data(name)
        lines = []
        for number, values in enumerate(configurations(SPACE)):
            curve = Curve(data, {**values, "batch": BATCH}, number, min(len(data[0]) // 3, TRAINED))
            losses = [round(curve[epoch], 6) for epoch in range(EPOCHS)]
            lines.append(json.dumps({"values": values, "losses": losses}) + "\n")
        path.write_text("".join(lines))
        print(name, len(lines), flush=True)


if __name__ == "__main__":
    main()
