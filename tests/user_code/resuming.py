"""A model with everything that has a state: dropout, noise, shuffling, early stopping, a changing learning rate."""

import json
import os
import pathlib
import time

import keras
import numpy as np

EPOCHS = 10


def data():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(256, 8)).astype("float32")
    y = (x[:, :1] * 2 - x[:, 1:2] + 0.1 * rng.normal(size=(256, 1))).astype("float32")
    return x, y


def build(hp):
    keras.utils.set_random_seed(hp.Fixed("seed", 7))
    model = keras.Sequential(
        [
            keras.layers.Dense(hp.Int("units", 8, 16), activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.GaussianNoise(0.1),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


class Slow(keras.callbacks.Callback):
    """Tells which epochs were run, by whom; takes its time, so that somebody can end the process in between."""

    def on_epoch_end(self, epoch, logs=None):
        folder = os.environ.get("EPOCHS_SEEN")
        if folder:
            with pathlib.Path(folder).open("a") as file:
                file.write(f"{epoch}\n")
            time.sleep(float(os.environ.get("EPOCH_S", "0")))


class Final(keras.callbacks.Callback):
    """Writes the weights that a training ends with."""

    def on_train_end(self, logs=None):
        where = os.environ.get("FINAL_WEIGHTS")
        if where:
            found = [np.asarray(weight).tolist() for weight in self.model.get_weights()]
            with pathlib.Path(where).open("a") as file:
                file.write(json.dumps(found) + "\n")


class Counting(keras.callbacks.Callback):
    """Keeps a state that nobody else can read."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def on_epoch_end(self, epoch, logs=None):
        self.seen += 1


class Speaking(Counting):
    """Says what its state is."""

    def get_state(self):
        return {"seen": self.seen}

    def set_state(self, state):
        self.seen = state["seen"]


def callbacks():
    return [
        keras.callbacks.EarlyStopping("val_loss", patience=4, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_delta=0.05),
        Slow(),
        Final(),
    ]


def search_args():
    x, y = data()
    return (x[:192], y[:192]), {
        "epochs": EPOCHS,
        "batch_size": 32,
        "validation_data": (x[192:], y[192:]),
        "callbacks": callbacks(),
    }


def twice():
    """A tuner that trains each trial two times."""
    import ktcomponent as kt

    return kt.RandomSearch(build, "val_loss", max_trials=1, seed=1, executions_per_trial=2)
