"""`Resumption`: a trial that trains goes on from its last checkpoint, on another machine if need be.

A checkpoint is taken at the end of an epoch, in the training's own thread but for what takes long: arrays are copied
there, and a second thread writes and uploads them while the training goes on. There is one upload at a time; an epoch
that ends during one is left out.
"""

from __future__ import annotations

import concurrent.futures
import copy
import shutil
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ktcomponent.console import say
from ktcomponent.storage import Storage
from ktcomponent.study import StudyLedger
from ktcomponent.study.checkpoints import CheckpointWriter, Place, newest
from ktcomponent.study.settings import period
from ktcomponent.tuners import results as results_module
from ktcomponent.tuners.callback_states import (
    Arrays,
    CannotResume,
    Watched,
    get_states,
    like,
    pack,
    raw,
    refusal,
    set_states,
    unpack,
)
from ktcomponent.tuners.keras_callbacks import SaveBestEpoch
from ktcomponent.tuners.random_states import get_random_states, set_random_states

ARRAYS = "arrays.npz"
BEST = "best.weights.h5"


@dataclass
class EarlierHistory:
    """The history of a training that another process ran; to be taken for a Keras `History`."""

    history: dict[str, list[float]]
    epoch: list[int]


class Resumption:
    """The checkpoints of one attempt: the one it goes on from, and those it makes.

    Args:
        storage: The study's storage.
        place: The attempt.
        every: See `checkpoint_every` in `ktcomponent.study.settings`.
        ledger: Of the study, for the reports that go along.
        scratch: A local folder.

    Raises:
        StorageError: If storage doesn't answer now; what was kept must not be lost by beginning anew.
    """

    def __init__(self, storage: Storage, place: Place, every: Any, ledger: StudyLedger, scratch: str) -> None:
        self._epochs, self._seconds = period(every)
        self._place = place
        self._ledger = ledger
        self._folder = Path(tempfile.mkdtemp(prefix="resume-", dir=scratch))
        self._writer = CheckpointWriter(storage, place)
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="ktcomponent-checkpoint")
        self._upload: concurrent.futures.Future[None] | None = None
        self._taken = time.monotonic()
        self._refused = False
        self.results: list[Any] = []
        self.has_checkpoints = False
        self._kept: dict[str, Any] | None = None
        self._arrays: Arrays = {}
        self._best: Path | None = None
        if place.attempt > place.first:
            self._fetch(storage)

    def _fetch(self, storage: Storage) -> None:
        try:
            found = newest(storage, self._place, self._folder)
            if found is None:
                return
            self._kept, files = found
            with np.load(files[ARRAYS], allow_pickle=False) as stored:
                self._arrays = {name: stored[name] for name in stored.files}
            self.results = [_revived(result) for result in self._kept["results"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            say(f"Trial {self._place.trial_id} begins anew: its checkpoint can't be read ({error!r}).")
            self._kept = None
            return
        self.has_checkpoints = True
        self._best = files.get(BEST)

    @property
    def goes_on(self) -> bool:
        """Whether a checkpoint was found that has not been used yet."""
        return self._kept is not None

    def forget(self, reason: str) -> None:
        """The trial begins anew all the same."""
        say(f"Trial {self._place.trial_id} begins anew and not from its checkpoint: {reason}.")
        self._kept, self._best, self.results = None, None, []
        self._ledger.restore(self._place.trial_id, [], {})

    def begin(self, weights: Path, best: SaveBestEpoch) -> None:
        """Puts back what the whole trial has so far: its best weights, and what was reported."""
        if self._kept is None:
            return
        best.best = self._kept["best"]
        if self._best is not None:
            shutil.copyfile(self._best, weights)
        self._ledger.restore(self._place.trial_id, self._kept["reports"], self._kept.get("rungs", {}))
        epoch, execution = self._kept["epoch"], self._kept["execution"]
        say(f"Trial {self._place.trial_id} goes on with epoch {epoch} of execution {execution}.")

    def callback(self, callbacks: Sequence[Any], best: SaveBestEpoch) -> ResumeCallback:
        """For the training of the next execution; must be the last of its callbacks.

        Args:
            callbacks: The user's, whose state is kept.
            best: Keeps the best weights.
        """
        reason = refusal(callbacks)
        if reason is not None:
            self.refuse(reason)
            if self._kept is not None:
                raise CannotResume(reason)
        return ResumeCallback(self, callbacks, best)

    def ended(self, result: Any) -> None:
        """One execution is over."""
        self.results.append(result)
        self._kept = None

    def take(self) -> dict[str, Any] | None:
        """What the execution that begins now goes on from; once."""
        kept, self._kept = self._kept, None
        return kept

    @property
    def arrays(self) -> Arrays:
        return self._arrays

    def refuse(self, reason: str) -> None:
        """From now on no checkpoints are made."""
        if not self._refused and self._epochs != self._seconds:
            say(f"Trial {self._place.trial_id} can't be resumed inside: {reason}.")
        self._refused = True

    def is_due(self, epoch: int) -> bool:
        if self._refused or (self._upload is not None and not self._upload.done()):
            return False
        if self._epochs is not None:
            return (epoch + 1) % self._epochs == 0
        return self._seconds is not None and time.monotonic() - self._taken >= self._seconds

    def save(self, said: dict[str, Any], arrays: Arrays, weights: Path) -> None:
        """Writes a checkpoint, in the background."""
        self._taken = time.monotonic()
        said["results"] = [_kept_result(result) for result in self.results]
        said["reports"] = self._ledger.reports_of(self._place.trial_id)
        said["rungs"] = self._ledger.oracle.get_trial(self._place.trial_id).record_of_rungs()
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        files = {ARRAYS: folder / ARRAYS}
        if weights.exists():
            # The next best epoch replaces the file and doesn't change it, so a second name for it is enough.
            files[BEST] = folder / BEST
            try:
                files[BEST].hardlink_to(weights)
            except OSError:
                shutil.copyfile(weights, files[BEST])
        self._upload = self._thread.submit(self._write, said, arrays, files, folder)

    def _write(self, said: dict[str, Any], arrays: Arrays, files: dict[str, Path], folder: Path) -> None:
        try:
            np.savez(files[ARRAYS], **arrays)  # type: ignore[arg-type]
            self._writer.write(said, files)
            self.has_checkpoints = True
        except Exception as error:  # noqa: BLE001 - nobody waits for this thread: it must say it itself
            warnings.warn(f"A checkpoint could not be written: {error}", stacklevel=2)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Waits for the upload that is on its way, and removes local files."""
        self._thread.shutdown(wait=True)
        shutil.rmtree(self._folder, ignore_errors=True)


class ResumeCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Restores a training when it begins, and takes checkpoints of it; comes last, after all others have changed.

    Args:
        resumption: Where checkpoints go and come from.
        callbacks: Those whose state is kept.
        best: Keeps the best weights.
    """

    def __init__(self, resumption: Resumption, callbacks: Sequence[Any], best: SaveBestEpoch) -> None:
        super().__init__()
        self._resumption = resumption
        self._callbacks = callbacks
        self._best = best
        self._history: dict[str, list[float]] = {}
        self._epochs: list[int] = []
        self._earlier: tuple[dict[str, list[float]], list[int]] = ({}, [])
        self._first_epoch: int | None = None
        self._watched: Watched | None = None
        self._fits = 0
        # What the model said of its first epoch before, where it is told another one.
        self._began: tuple[Any] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        self._fits += 1
        if self._fits > 1:
            self._resumption.refuse("its fit trains more than once")
            return
        kept = self._resumption.take()
        if kept is not None:
            try:
                self._restore(kept)
            except CannotResume:
                raise
            except Exception as error:
                raise CannotResume(f"its checkpoint could not be restored ({error!r})") from error
        self._watched = Watched(self._callbacks)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        del logs
        if self._first_epoch is not None and epoch != self._first_epoch:
            raise CannotResume(f"its fit went on with epoch {epoch} instead of {self._first_epoch}")
        self._first_epoch = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epochs.append(epoch)
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(results_module.mean(value))
        if self._fits == 1 and self._resumption.is_due(epoch):
            try:
                self._take(epoch)
            except CannotResume as error:
                self._resumption.refuse(str(error))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        del logs
        if self._began is not None:
            self.model._initial_epoch, self._began = self._began[0], None
        history, epochs = self._earlier
        self._earlier = {}, []
        if not epochs:
            return
        now: Any = getattr(self.model, "history", None)
        if not results_module.is_history(now) or not now.epoch or now.epoch[0] <= epochs[-1]:
            # The training had ended before the checkpoint was taken.
            now = keras.callbacks.History()
            now.set_model(self.model)
            now.epoch = []
            self.model.history = now
        now.epoch = [*epochs, *now.epoch]
        now.history = {
            name: [*history.get(name, []), *now.history.get(name, [])] for name in {**history, **now.history}
        }

    def _take(self, epoch: int) -> None:
        if self._watched is not None:
            self._watched.check()
        arrays: Arrays = {}
        said = {
            "execution": len(self._resumption.results),
            "epoch": epoch + 1,
            "stopped": bool(self.model.stop_training),
            "history": self._history,
            "epochs": self._epochs,
            "callbacks": get_states(self._callbacks, arrays),
            "best": self._best.best,
            "random": get_random_states(arrays),
            "variables": _get_variables(self.model, arrays),
        }
        self._resumption.save(copy.deepcopy(said), arrays, self._best.path)

    def _restore(self, kept: dict[str, Any]) -> None:
        arrays = self._resumption.arrays
        _set_variables(self.model, kept["variables"], arrays)
        set_states(self._callbacks, kept["callbacks"], arrays)
        set_random_states(kept["random"], arrays)
        self._history = {name: list(values) for name, values in kept["history"].items()}
        self._epochs = list(kept["epochs"])
        self._earlier = {name: list(values) for name, values in kept["history"].items()}, list(kept["epochs"])
        self._first_epoch = int(kept["epoch"])
        epochs = int((self.params or {}).get("epochs") or 0)
        self._began = (getattr(self.model, "_initial_epoch", None),)
        # As Keras's own BackupAndRestore tells the training where to go on.
        self.model._initial_epoch = max(self._first_epoch, epochs) if kept["stopped"] else self._first_epoch


def _variables(model: Any) -> dict[str, list[Any]]:
    """Everything a training changes, in an order that is the same in every process; metrics begin anew each epoch."""
    weights = {id(variable) for variable in model.weights}
    metrics = {id(variable) for variable in getattr(model, "metrics_variables", [])}
    others = [v for v in model.variables if id(v) not in weights and id(v) not in metrics]
    optimizer = getattr(model, "optimizer", None)
    return {
        "weights": list(model.weights),
        "others": others,
        "optimizer": list(optimizer.variables) if optimizer is not None else [],
    }


def _check_model(model: Any) -> None:
    """Refuses models that keep a state beside their variables and their optimizer."""
    others = [
        name
        for name, value in vars(model).items()
        if isinstance(value, keras.optimizers.Optimizer) and value is not getattr(model, "optimizer", None)
    ]
    if others:
        raise CannotResume(f"its model has optimizers of its own ({', '.join(others)})")
    if any(getattr(layer, "stateful", False) is True for layer in model._flatten_layers()):
        raise CannotResume("its model has a stateful layer")


def _get_variables(model: Any, arrays: Arrays) -> dict[str, Any]:
    """The values go into `arrays`; what is given back tells their types and shapes."""
    _check_model(model)
    synchronize = getattr(model, "jax_state_sync", None)
    if synchronize is not None:
        synchronize()
    described: dict[str, Any] = {"build": model.get_build_config()}
    for kind, variables in _variables(model).items():
        described[kind] = [[str(v.dtype), list(v.shape)] for v in variables]
        for n, variable in enumerate(variables):
            arrays[f"{kind}/{n}"] = raw(keras.ops.convert_to_numpy(variable))
    return described


def _set_variables(model: Any, described: dict[str, Any], arrays: Arrays) -> None:
    _build(model, described["build"])
    described = {kind: kept for kind, kept in described.items() if kind != "build"}
    found = _variables(model)
    now = {kind: [[str(v.dtype), list(v.shape)] for v in variables] for kind, variables in found.items()}
    if now != described:
        raise CannotResume("its model has other variables than before")
    for kind, variables in found.items():
        for n, variable in enumerate(variables):
            before = keras.ops.convert_to_numpy(variable)
            value = like(arrays[f"{kind}/{n}"], str(before.dtype), before.shape)
            if value.shape != before.shape:
                raise CannotResume("its checkpoint has other shapes than it says")
            variable.assign(value)


def _build(model: Any, config: dict[str, Any] | None) -> None:
    """Makes the variables that a model and its optimizer would make with the first batch."""
    if not model.built and config:
        try:
            model.build_from_config(config)
        except Exception as error:
            raise CannotResume(f"its model can't be built without a batch ({error})") from error
        # A model that was subclassed has its variables now, and says so only after a call.
        model.built = model.built or bool(model.weights)
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and model.built and not optimizer.built:
        optimizer.build(model.trainable_variables)


def _kept_result(result: Any) -> dict[str, Any]:
    if results_module.is_history(result):
        history = results_module.histories(result)[0]
        return {"history": history, "epoch": [int(epoch) for epoch in result.epoch]}
    arrays: Arrays = {}
    try:
        packed = pack(result, "", arrays)
    except TypeError as error:
        raise CannotResume(f"its fit gave a {error} beside numbers") from error
    if arrays:
        raise CannotResume("its fit gave arrays")
    return {"plain": packed}


def _revived(kept: dict[str, Any]) -> Any:
    if "history" in kept:
        return EarlierHistory(kept["history"], kept["epoch"])
    return unpack(kept["plain"], {})
