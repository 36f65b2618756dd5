"""A table of real Keras trainings: 500 configurations of networks for scikit-learn's digits, 50 epochs each.

    python -m benchmarks.search_quality.curves

goes on where it was, and takes more than an hour on one core. The table (`curves.jsonl`) is committed, as far as it goes.
Each line has a configuration's values and its validation loss and accuracy after each epoch.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from benchmarks.search_quality.space import Dimension, category, declare, real, whole

TABLE = Path(__file__).parent / "curves.jsonl"
CONFIGURATIONS, EPOCHS = 500, 50

SPACE: list[Dimension] = [
    category("kind", "dense", "convolution"),
    real("rate", 1e-4, 0.3, log=True),
    category("optimizer", "sgd", "adam"),
    real("momentum", 0.0, 0.98, parent=("optimizer", ("sgd",))),
    whole("batch", 16, 256, log=True),
    whole("units", 8, 256, log=True),
    whole("layers", 1, 4, parent=("kind", ("dense",))),
    whole("filters", 4, 32, log=True, parent=("kind", ("convolution",))),
    real("dropout", 0.0, 0.7),
    category("activation", "relu", "tanh", "sigmoid"),
    real("decay", 1e-6, 1e-2, log=True),
]


def build(values: dict[str, Any]) -> Any:
    import keras
    from keras import layers, regularizers

    decay = regularizers.L2(values["decay"])
    model = keras.Sequential([layers.Input((8, 8, 1))])
    if values["kind"] == "convolution":
        model.add(
            layers.Conv2D(values["filters"], 3, activation=values["activation"], kernel_regularizer=decay)
        )
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    for _ in range(values.get("layers", 1)):
        model.add(layers.Dense(values["units"], activation=values["activation"], kernel_regularizer=decay))
        model.add(layers.Dropout(values["dropout"]))
    model.add(layers.Dense(10))
    if values["optimizer"] == "sgd":
        optimizer = keras.optimizers.SGD(values["rate"], momentum=values["momentum"])
    else:
        optimizer = keras.optimizers.Adam(values["rate"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def configurations() -> list[dict[str, Any]]:
    """The same ones in every run."""
    import ktcomponent
    from ktcomponent.oracles import RandomSearchOracle

    hp = ktcomponent.HyperParameters()
    declare(SPACE, hp)
    oracle = RandomSearchOracle("loss", max_trials=CONFIGURATIONS, hyperparameters=hp, seed=0)
    return [dict(oracle.create_trial(str(n)).hyperparameters.values) for n in range(CONFIGURATIONS)]


def main() -> None:
    import keras
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).reshape(-1, 8, 8, 1).astype("float32")
    # 500 images to train, so that regularisation matters; the others judge.
    x, held_x, y, held_y = train_test_split(x, y, train_size=500, random_state=0, stratify=y)
    done = len(TABLE.read_text().splitlines()) if TABLE.exists() else 0
    with TABLE.open("a") as table:
        for number, values in list(enumerate(configurations()))[done:]:
            keras.backend.clear_session()
            keras.utils.set_random_seed(number)
            history = (
                build(values)
                .fit(
                    x,
                    y,
                    batch_size=values["batch"],
                    epochs=EPOCHS,
                    validation_data=(held_x, held_y),
                    validation_batch_size=1297,
                    verbose=0,
                )
                .history
            )
            row = {name: [round(v, 5) for v in history[name]] for name in ("val_loss", "val_accuracy")}
            table.write(json.dumps({"values": values, **row}) + "\n")
            table.flush()


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
