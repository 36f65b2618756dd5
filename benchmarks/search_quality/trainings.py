"""Trainings of small networks while a search runs, on which multi-fidelity oracles are developed.

    python -m benchmarks.search_quality.trainings

works out what the best of 500 configurations come to, and writes `trainings.json`.

Of continuous spaces, so what a model makes of small differences is seen. scikit-learn's networks, an epoch in a few
milliseconds.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_quality.curves import EPOCHS
from benchmarks.search_quality.space import category, declare, real, whole

PATH = Path(__file__).with_name("trainings.json")
CONFIGURATIONS, TRAINED = 500, 300
SPACE = [
    real("rate", 1e-4, 0.3, log=True),
    category("optimizer", "sgd", "adam"),
    real("momentum", 0.0, 0.98, parent=("optimizer", ("sgd",))),
    whole("batch", 32, 256, log=True),
    whole("layers", 1, 2),
    whole("units", 8, 64, log=True),
    category("activation", "relu", "tanh", "logistic"),
    real("decay", 1e-6, 1.0, log=True),
]


def _data(name: str) -> tuple[Any, Any]:
    from sklearn import datasets

    if name == "friedman":
        x, y = datasets.make_friedman1(1500, 10, noise=0.5, random_state=3)
        y = (y - y.mean()) / y.std()
    elif name == "classes":
        x, y = datasets.make_classification(
            1500, 20, n_informative=8, n_redundant=4, n_classes=4, n_clusters_per_class=3, random_state=3
        )
    elif name == "spirals":  # of which most networks learn nothing for many epochs, and then all at once
        rng = np.random.default_rng(0)
        y = np.arange(1500) % 2
        turn = np.sqrt(rng.uniform(0.05, 1.0, len(y))) * 3.0 * np.pi
        x = np.stack([np.cos(turn + np.pi * y), np.sin(turn + np.pi * y)], axis=1) * turn[:, None]
        x += rng.normal(0.0, 0.7, x.shape)
    else:
        x, y = datasets.make_gaussian_quantiles(n_samples=1500, n_features=6, n_classes=4, random_state=3)
    return (x - x.mean(axis=0)) / x.std(axis=0), y


NAMES = ("friedman", "classes", "quantiles", "spirals")


class Curve(Sequence[float]):
    """What a training has reached after each epoch; it trains as far as it is asked."""

    def __init__(
        self, data: tuple[Any, Any], values: Mapping[str, Any], seed: int, trained: int = TRAINED
    ) -> None:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        self._x, self._y = data
        self._trained = trained
        self._is_number = self._y.dtype.kind == "f"
        self._model = (MLPRegressor if self._is_number else MLPClassifier)(
            hidden_layer_sizes=(values["units"],) * values["layers"],
            activation=values["activation"],
            solver=values["optimizer"],
            alpha=values["decay"],
            batch_size=values["batch"],
            learning_rate_init=values["rate"],
            momentum=values.get("momentum", 0.0),
            random_state=seed,
        )
        self._reached: list[float] = []

    def __len__(self) -> int:
        return EPOCHS

    def __getitem__(self, epoch: Any) -> Any:
        while len(self._reached) <= epoch:
            self._reached.append(min([*self._reached[-1:], self._after_another_epoch()]))
        return self._reached[epoch]

    def _after_another_epoch(self) -> float:
        """Its part of wrong answers, or its squared error over the variance; 1 where it diverges."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if self._is_number:
                    self._model.partial_fit(self._x[: self._trained], self._y[: self._trained])
                else:
                    classes = np.unique(self._y)
                    self._model.partial_fit(
                        self._x[: self._trained], self._y[: self._trained], classes=classes
                    )
                told = self._model.predict(self._x[self._trained :])
            except ValueError as error:
                if "non-finite" not in str(error):
                    raise
                return 1.0
        right = self._y[self._trained :]
        with np.errstate(over="ignore"):
            loss = np.mean(np.square(told - right) if self._is_number else told != right)
        return float(np.nan_to_num(np.minimum(loss, 1.0), nan=1.0))


class Trainings:
    """The trainings of one search; what a search needs of `replay.Table`."""

    def __init__(self, name: str) -> None:
        self.space = SPACE
        self._name = name
        self._data = _data(name)
        self._curves: dict[str, Curve] = {}

    def curve(self, values: Mapping[str, Any]) -> Curve:
        known = {d.name: values[d.name] for d in self.space if d.is_active(values)}
        key = json.dumps(known, sort_keys=True)
        if key not in self._curves:
            self._curves[key] = Curve(self._data, known, seed=len(self._curves))
        return self._curves[key]

    def good(self, part: float = 0.01) -> float:
        """The loss that the best part of the configurations of `trainings.json` reaches."""
        best = json.loads(PATH.read_text())[self._name]
        return float(best[max(int(part * CONFIGURATIONS) - 1, 0)])


def main() -> None:
    import ktcomponent
    from ktcomponent.oracles import RandomSearchOracle

    hp = ktcomponent.HyperParameters()
    declare(SPACE, hp)
    oracle = RandomSearchOracle("loss", max_trials=CONFIGURATIONS, hyperparameters=hp, seed=0)
    drawn = [oracle.create_trial(str(n)).hyperparameters.values for n in range(CONFIGURATIONS)]
    best = {}
    for name in NAMES:
        trainings = Trainings(name)
        reached = sorted(trainings.curve(values)[EPOCHS - 1] for values in drawn)
        best[name] = [round(value, 6) for value in reached[:50]]
    PATH.write_text(json.dumps(best, indent=1) + "\n")


if __name__ == "__main__":
    main()
