"""A linear model that learns at once, or hardly at all."""

import keras
import numpy as np


def build(hp):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    rate = hp.Choice("rate", [0.1, 0.05, 1e-7, 2e-7, 3e-7, 4e-7])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def search_args():
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    y = x @ np.array([[1.0], [2.0], [3.0]], "float32")
    return (), {"x": x, "y": y, "validation_split": 0.25, "epochs": 8}
