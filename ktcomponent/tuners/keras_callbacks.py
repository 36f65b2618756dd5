"""Keras callbacks of a trial. Imports Keras: only import it where a model is trained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from ktcomponent.objective import Objective
from ktcomponent.trial import Trial

if TYPE_CHECKING:
    from ktcomponent.tuners.tuner import Tuner


class TunerCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls the tuner's hooks, and stops a fit whose trial another worker has taken over."""

    def __init__(self, tuner: Tuner, trial: Trial) -> None:
        super().__init__()
        self.tuner = tuner
        self.trial = trial

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        self.tuner.check_model_size(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.tuner.on_epoch_begin(self.trial, self.model, epoch, logs=logs)

    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.tuner.on_batch_begin(self.trial, self.model, batch, logs)

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.tuner.check_still_mine()
        self.tuner.on_batch_end(self.trial, self.model, batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.tuner.on_epoch_end(self.trial, self.model, epoch, logs=logs)


class StopEarly(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a fit at the epoch at which the oracle's stopping rule says so; comes after `SaveBestEpoch`.

    The last epoch is not judged: there is nothing left to end.
    """

    def __init__(self, tuner: Tuner, trial: Trial, best: SaveBestEpoch) -> None:
        super().__init__()
        self.tuner = tuner
        self.trial = trial
        self.best = best

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = self.best.best
        if value is None and self.best.objective.has_value(logs or {}):
            value = float("nan")  # no epoch had another value
        if value is None or epoch + 1 >= self.params.get("epochs", 0):
            return
        if self.tuner.oracle.should_stop(self.trial.trial_id, value, epoch):
            self.model.stop_training = True


class SaveBestEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves the weights of the best epoch over all executions of a trial.

    Where the logs lack the objective (it is computed after the fit) every epoch is saved, so the last stays.

    Args:
        objective: What is compared.
        path: Where the weights go; a reader never sees half a file.
    """

    def __init__(self, objective: Objective, path: Path) -> None:
        super().__init__()
        self.objective = objective
        self.path = path
        self.best: float | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        del epoch
        logs = logs or {}
        if self.objective.has_value(logs):
            value = self.objective.get_value(logs)
            if self.best is not None and not self.objective.better_than(value, self.best):
                return
            if value == value:  # a first epoch of NaN is saved, and beaten by any number
                self.best = value
        elif self.best is not None:
            return  # with validation_freq not every epoch has a value
        aside = self.path.with_name(f"aside-{self.path.name}")
        self.model.save_weights(aside)
        os.replace(aside, self.path)
