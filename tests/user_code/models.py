"""Keras models as a user would write them."""

import keras
import numpy as np

from ktcomponent import HyperModel


def data():
    x = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    return x, x**2


def load():
    x, y = data()
    return (x[:48], y[:48]), {"validation_data": (x[48:], y[48:]), "epochs": 3}


def build(hp):
    model = keras.Sequential([keras.layers.Dense(hp.Int("units", 4, 16, step=4), activation="tanh")])
    with hp.conditional_scope("units", [8, 12, 16]):
        if hp.get("units") > 4:
            model.add(keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5)))
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log")), "mse")
    return model


def changed(hp):
    hp.Int("units", 4, 32, step=4)
    return build(hp)


def crashes_for_some(hp):
    if hp.Int("units", 4, 16, step=4) == 16:
        raise MemoryError("too large")
    return build(hp)


class OnlyCallable(keras.Model):
    """A model whose variables come to be when it is called."""

    def __init__(self, units):
        super().__init__()
        self.units = units
        self.first, self.last = keras.layers.Dense(units), keras.layers.Dense(1)

    def call(self, x):
        return self.last(self.first(x))

    def get_config(self):
        return {"units": self.units}


def build_only_callable(hp):
    model = OnlyCallable(hp.Int("units", 2, 8))
    model.compile("sgd", "mse")
    return model


def hidden_domain(hp, high=64):
    """A conditional hyperparameter behind an `if`."""
    head = hp.Choice("head", ["linear", "hidden"])
    model = keras.Sequential([keras.Input((1,))])
    with hp.conditional_scope("head", ["hidden"]):
        if head == "hidden":
            model.add(keras.layers.Dense(hp.Int("units", 32, high)))
    model.add(keras.layers.Dense(1))
    model.compile("sgd", "mse")
    return model


def hidden_domain_changed(hp):
    return hidden_domain(hp, 256)


def breaks_when_hidden(hp):
    model = hidden_domain(hp)
    if hp.get("head") == "hidden":
        raise RuntimeError("not built")
    return model


class OwnFit(HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, x, y, validation_data, epochs, callbacks):
        return model.fit(x, y, validation_data=validation_data, epochs=epochs, callbacks=callbacks, verbose=0)


def load_everything():
    """For a last training: all the data, nothing held back."""
    x, y = data()
    print(f"training with {len(x)} samples", flush=True)
    return (x, y), {"verbose": 2}
