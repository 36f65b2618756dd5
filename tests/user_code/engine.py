"""What a KerasTuner user brings along: an own tuner, and a model whose score tells how long it was trained."""

import pathlib

import keras
import numpy as np

import ktcomponent

ONES = np.ones((8, 1), dtype="float32")
TARGET = np.full((8, 1), 100.0, dtype="float32")


def counting(hp):
    """Its only weight grows by 1 an epoch, so its loss after n epochs is 100 - n."""
    hp.Float("unused", 0.0, 1.0)
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(1.0), "mae", jit_compile=False)
    return model


def load():
    return (ONES, TARGET), {"validation_data": (ONES, TARGET)}


class CountingModel(ktcomponent.HyperModel):
    def build(self, hp):
        return counting(hp)


HOOKS = [
    "pre_create_trial",
    "on_search_begin",
    "on_trial_begin",
    "on_epoch_begin",
    "on_batch_begin",
    "on_batch_end",
    "on_epoch_end",
    "on_trial_end",
    "on_search_end",
    "run_trial",
    "_populate_initial_space",
    "_build_and_fit_model",
    "_build_hypermodel",
    "_try_build",
    "save",
]


def _override(name):
    def method(self, *args, **kwargs):
        with pathlib.Path("trace.txt").open("a") as trace:
            trace.write(f"{name}\n")
        return getattr(super(Traced, self), name)(*args, **kwargs)

    return method


class Traced(ktcomponent.RandomSearch):
    """Notes every call of a hook, and how many trials it saw in its state."""

    def __init__(self, *args, **kwargs):
        self.seen = 0
        super().__init__(*args, **kwargs)

    def get_state(self):
        return {"seen": self.seen}

    def set_state(self, state):
        self.seen = state["seen"]

    def on_trial_begin(self, trial):
        self.seen += 1
        _override("on_trial_begin")(self, trial)


for _name in HOOKS:
    if _name != "on_trial_begin":
        setattr(Traced, _name, _override(_name))


def traced_tuner():
    return Traced(counting, "val_loss", max_trials=2, seed=1, executions_per_trial=2, project_name="traced")


class StrictHook(ktcomponent.Tuner):
    """Its hook takes what was passed to `search`, and nothing else."""

    def __init__(self, oracle):
        super().__init__(oracle, counting)

    def _build_and_fit_model(self, trial, x, y, validation_data=None, callbacks=None):
        return super()._build_and_fit_model(trial, x, y, validation_data=validation_data, callbacks=callbacks)


class OwnFit(ktcomponent.HyperModel):
    def build(self, hp):
        return counting(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)
