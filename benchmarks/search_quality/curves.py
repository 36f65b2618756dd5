"""Tables of real Keras trainings: configurations of networks, and what each had reached after each of 50 epochs.

    python -m benchmarks.search_quality.curves

goes on where it was, and takes more than an hour on one core. Both tables are committed: `curves.jsonl`, on which
figures are reported, and `curves_development.jsonl`, on which oracles and rules are developed. Each line has a
configuration's values and its validation loss and accuracy after each epoch.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_quality.space import Dimension, category, declare, real, whole

EPOCHS = 50
TRAINED = 500
"""Images or points to train with, so that regularisation matters; the others judge."""

SHARED = [
    real("rate", 1e-4, 0.3, log=True),
    category("optimizer", "sgd", "adam"),
    real("momentum", 0.0, 0.98, parent=("optimizer", ("sgd",))),
    whole("batch", 16, 256, log=True),
    whole("units", 8, 256, log=True),
]
REGULAR = [
    real("dropout", 0.0, 0.7),
    category("activation", "relu", "tanh", "sigmoid"),
    real("decay", 1e-6, 1e-2, log=True),
]


@dataclasses.dataclass(frozen=True)
class Curves:
    """One table.

    Attributes:
        file: Where it is kept, beside this file.
        configurations: How many it has.
        space: What they are drawn from.
        data: The inputs and the labels of ten classes or fewer.
    """

    file: str
    configurations: int
    space: list[Dimension]
    data: Callable[[], tuple[Any, Any]]

    @property
    def path(self) -> Path:
        return Path(__file__).parent / self.file


def digits() -> tuple[Any, Any]:
    """Scikit-learn's 1,797 images of digits."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16.0).reshape(-1, 8, 8, 1).astype("float32"), y


def spirals() -> tuple[Any, Any]:
    """3,000 points of two spirals with some noise, which take long to be told apart."""
    rng = np.random.default_rng(0)
    y = np.arange(3000) % 2
    turn = np.sqrt(rng.uniform(0.05, 1.0, 3000)) * 3.0 * np.pi
    angle = turn + np.pi * y
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) * turn[:, None] / (3.0 * np.pi)
    return (x + rng.normal(0.0, 0.03, x.shape)).astype("float32"), y


TABLES = {
    "reported": Curves(
        "curves.jsonl",
        500,
        [
            category("kind", "dense", "convolution"),
            *SHARED,
            whole("layers", 1, 4, parent=("kind", ("dense",))),
            whole("filters", 4, 32, log=True, parent=("kind", ("convolution",))),
            *REGULAR,
        ],
        digits,
    ),
    "development": Curves(
        "curves_development.jsonl",
        200,
        [
            category("kind", "dense", "residual"),
            *SHARED,
            whole("layers", 1, 4, parent=("kind", ("dense",))),
            whole("blocks", 1, 3, parent=("kind", ("residual",))),
            *REGULAR,
        ],
        spirals,
    ),
}


def build(values: dict[str, Any], shape: tuple[int, ...]) -> Any:
    import keras
    from keras import layers, regularizers

    def dense(x: Any) -> Any:
        decay = regularizers.L2(values["decay"])
        x = layers.Dense(values["units"], activation=values["activation"], kernel_regularizer=decay)(x)
        return layers.Dropout(values["dropout"])(x)

    inputs = layers.Input(shape)
    x = inputs
    if values["kind"] == "convolution":
        decay = regularizers.L2(values["decay"])
        x = layers.Conv2D(values["filters"], 3, activation=values["activation"], kernel_regularizer=decay)(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    for _ in range(values.get("layers", 1)):
        x = dense(x)
    for _ in range(values.get("blocks", 0)):
        x = layers.LayerNormalization()(x + dense(x))
    model = keras.Model(inputs, layers.Dense(10)(x))
    if values["optimizer"] == "sgd":
        optimizer = keras.optimizers.SGD(values["rate"], momentum=values["momentum"])
    else:
        optimizer = keras.optimizers.Adam(values["rate"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def configurations(curves: Curves) -> list[dict[str, Any]]:
    """The same ones in every run."""
    import ktcomponent
    from ktcomponent.oracles import RandomSearchOracle

    hp = ktcomponent.HyperParameters()
    declare(curves.space, hp)
    oracle = RandomSearchOracle("loss", max_trials=curves.configurations, hyperparameters=hp, seed=0)
    return [dict(oracle.create_trial(str(n)).hyperparameters.values) for n in range(curves.configurations)]


def train(curves: Curves) -> None:
    """Trains the configurations that its table doesn't have."""
    import keras
    from sklearn.model_selection import train_test_split

    x, y = curves.data()
    x, held_x, y, held_y = train_test_split(x, y, train_size=TRAINED, random_state=0, stratify=y)
    done = len(curves.path.read_text().splitlines()) if curves.path.exists() else 0
    with curves.path.open("a") as table:
        for number, values in list(enumerate(configurations(curves)))[done:]:
            keras.backend.clear_session()
            keras.utils.set_random_seed(number)
            history = (
                build(values, x.shape[1:])
                .fit(
                    x,
                    y,
                    batch_size=values["batch"],
                    epochs=EPOCHS,
                    validation_data=(held_x, held_y),
                    validation_batch_size=len(held_x),
                    verbose=0,
                )
                .history
            )
            row = {name: [round(v, 5) for v in history[name]] for name in ("val_loss", "val_accuracy")}
            table.write(json.dumps({"values": values, **row}) + "\n")
            table.flush()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for table in TABLES.values():
        train(table)
