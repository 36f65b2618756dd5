"""A table of real Keras trainings: every configuration of a space, and what each had reached after each of 50 epochs.

    python -m benchmarks.search_quality.curves

goes on where it was, and takes about an hour on one core. The table, `curves.jsonl`, is committed: a line has a
configuration's values, and its validation loss and accuracy after each epoch.

The space is a grid, so whatever a search proposes was trained. (Of a continuous space a table has some configurations, and a
proposal would stand for the nearest one: another one than the search believes, and farther away the more it proposes in one
place.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.search_quality.space import Dimension, category, declare, real, whole

PATH = Path(__file__).with_name("curves.jsonl")
EPOCHS = 50
TRAINED, BATCH = 500, 32
"""Images to train with, so that regularisation matters (the others judge), and how many make a step."""

SPACE = [
    category("kind", "dense", "convolution"),
    whole("layers", 1, 3, parent=("kind", ("dense",))),
    whole("filters", 8, 32, log=True, step=4, parent=("kind", ("convolution",))),
    category("optimizer", "sgd", "adam"),
    real("momentum", 0.0, 0.9, step=0.9, parent=("optimizer", ("sgd",))),
    real("rate", 3e-4, 0.0729, log=True, step=3),
    whole("units", 32, 128, log=True, step=4),
    real("dropout", 0.0, 0.6, step=0.3),
]


def digits() -> tuple[Any, Any]:
    """Scikit-learn's 1,797 images of digits."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16.0).reshape(-1, 8, 8, 1).astype("float32"), y


def build(values: Mapping[str, Any], **compiled: Any) -> Any:
    """A network, compiled with what is told besides."""
    import keras
    from keras import layers

    inputs = layers.Input((8, 8, 1))
    x = inputs
    if values["kind"] == "convolution":
        x = layers.Conv2D(values["filters"], 3, activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    for _ in range(values.get("layers", 1)):
        x = layers.Dense(values["units"], activation="relu")(x)
        x = layers.Dropout(values["dropout"])(x)
    model = keras.Model(inputs, layers.Dense(10)(x))
    if values["optimizer"] == "sgd":
        optimizer = keras.optimizers.SGD(values["rate"], momentum=values["momentum"])
    else:
        optimizer = keras.optimizers.Adam(values["rate"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], **compiled)
    return model


def configurations(space: Sequence[Dimension]) -> list[dict[str, Any]]:
    """All that a grid has, in an order that leaves an interrupted table with all kinds of them."""
    import ktcomponent
    from ktcomponent.oracles import RandomSearchOracle

    hp = ktcomponent.HyperParameters()
    declare(space, hp)
    oracle = RandomSearchOracle("loss", max_trials=None, hyperparameters=hp, seed=0)
    found = []
    while (trial := oracle.create_trial(str(len(found)))).status == "RUNNING":
        values = trial.hyperparameters.values
        found.append({d.name: values[d.name] for d in space if d.is_active(values)})
    return found


def main() -> None:
    """Trains the configurations that the table doesn't have."""
    import keras
    from sklearn.model_selection import train_test_split

    x, y = digits()
    x, held_x, y, held_y = train_test_split(x, y, train_size=TRAINED, random_state=0, stratify=y)
    done = len(PATH.read_text().splitlines()) if PATH.exists() else 0
    with PATH.open("a") as table:
        for number, values in list(enumerate(configurations(SPACE)))[done:]:
            keras.backend.clear_session()
            keras.utils.set_random_seed(number)
            history = (
                build(values)
                .fit(
                    x,
                    y,
                    batch_size=BATCH,
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
    main()
