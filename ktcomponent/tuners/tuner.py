"""`Tuner`: builds, trains, saves and loads Keras models."""

from __future__ import annotations

import copy
import gc
import json
import sys
from pathlib import Path
from typing import Any

from ktcomponent.errors import ConfigurationError, FatalTypeError, FatalValueError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.trial import Trial
from ktcomponent.tuners import results as results_module
from ktcomponent.tuners.base_tuner import BaseTuner
from ktcomponent.tuners.hypermodel import HyperModel

WEIGHTS = "checkpoint.weights.h5"
BUILD_CONFIG = "build_config.json"


class Tuner(BaseTuner):
    """Tunes Keras models; with `run_trial` overridden, anything.

    Args:
        oracle: See `BaseTuner`.
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns a compiled model; None only where
            `run_trial` is overridden.
        executions_per_trial: How often each trial is trained from scratch; results are averaged.
        kwargs: See `BaseTuner`.

    Attributes:
        sample: One batch of inputs, for models that can only be built by calling them; see `load_model`.

    Example:

        def build(hp):
            model = keras.Sequential([keras.layers.Dense(hp.Int("units", 8, 64)), keras.layers.Dense(1)])
            model.compile("adam", "mse")
            return model

        tuner = Tuner(RandomSearchOracle("val_loss", max_trials=5), build, directory="gs://bucket/tuning")
        tuner.search(x, y, validation_data=(x_val, y_val), epochs=3)
        model = tuner.get_best_models()[0]
    """

    def __init__(
        self, oracle: Oracle, hypermodel: Any = None, executions_per_trial: int = 1, **kwargs: Any
    ) -> None:
        if hypermodel is None and type(self).run_trial is Tuner.run_trial:
            raise ConfigurationError(
                "Received `hypermodel=None`. Give a hypermodel, or override `Tuner.run_trial()`."
            )
        self.executions_per_trial = executions_per_trial
        self.sample: Any = None
        super().__init__(oracle, hypermodel, **kwargs)

    # -- hooks -------------------------------------------------------------------------------------------

    def on_epoch_begin(self, trial: Trial, model: Any, epoch: int, logs: Any = None) -> None:
        """Called at the beginning of an epoch."""

    def on_epoch_end(self, trial: Trial, model: Any, epoch: int, logs: Any = None) -> None:
        """Called at the end of an epoch."""

    def on_batch_begin(self, trial: Trial, model: Any, batch: int, logs: Any = None) -> None:
        """Called at the beginning of a batch."""

    def on_batch_end(self, trial: Trial, model: Any, batch: int, logs: Any = None) -> None:
        """Called at the end of a batch."""

    # -- running a trial ---------------------------------------------------------------------------------

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Trains the model `executions_per_trial` times and keeps the weights of the best epoch."""
        from ktcomponent.tuners.keras_callbacks import SaveBestEpoch, TunerCallback

        own = [SaveBestEpoch(self.oracle.objective, Path(self._get_checkpoint_fname(trial.trial_id)))]
        users = list(kwargs.pop("callbacks", None) or [])
        self._quieten(kwargs)
        results = []
        for _ in range(self.executions_per_trial):
            callbacks = [*self._deepcopy_callbacks(users), TunerCallback(self, trial), *own]
            results.append(self._build_and_fit_model(trial, *args, **{**kwargs, "callbacks": callbacks}))
        return results

    def _build_and_fit_model(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        if self.hypermodel is None:
            raise ConfigurationError("There is no hypermodel to build.")
        hp = trial.hyperparameters
        model = self._try_build(hp)
        results = self.hypermodel.fit(hp, model, *args, **kwargs)
        config = Path(self.get_trial_dir(trial.trial_id), BUILD_CONFIG)
        config.write_text(json.dumps(model.get_build_config()))
        results_module.validate(results, self.oracle.objective, "HyperModel.fit()")
        return results

    def _try_build(self, hp: HyperParameters) -> Any:
        import keras

        if self.hypermodel is None:
            raise ConfigurationError("There is no hypermodel to build.")
        keras.backend.clear_session()
        gc.collect()
        model = self.hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            raise FatalTypeError(
                "Expected the model-building function, or HyperModel.build(), to return a Keras model. "
                f"Received: {model!r} of type {type(model).__name__}."
            )
        return model

    def _deepcopy_callbacks(self, callbacks: list[Any]) -> list[Any]:
        try:
            return copy.deepcopy(callbacks)
        except Exception as error:
            raise FatalValueError(
                "All callbacks used during a search should be deep-copyable, since every execution gets its own. "
                f"Received: {callbacks!r} ({error})."
            ) from error

    def _quieten(self, kwargs: dict[str, Any]) -> None:
        """Keeps Keras's progress bars, which are made of control characters, out of a task's log."""
        if not self._is_step or sys.stdout.isatty():
            return
        import keras

        keras.config.disable_interactive_logging()
        if "verbose" in kwargs:
            kwargs["verbose"] = 2 if kwargs["verbose"] in (1, "auto") else kwargs["verbose"]
        elif self.hypermodel is not None and type(self.hypermodel).fit is HyperModel.fit:
            # A user's own `fit` may not take it, or pass one itself.
            kwargs["verbose"] = 0

    # -- models ------------------------------------------------------------------------------------------

    def load_model(self, trial: Trial) -> Any:
        """Builds the trial's model and gives it the weights of its best epoch.

        Raises:
            FatalValueError: If the trial saved no weights.
        """
        self._fetch_files(trial)
        weights = Path(self._get_checkpoint_fname(trial.trial_id))
        if not weights.exists():
            raise FatalValueError(f"Trial {trial.trial_id} ({trial.status}) has no saved weights to load.")
        model = self._try_build(trial.hyperparameters)
        config = weights.with_name(BUILD_CONFIG)
        shapes = json.loads(config.read_text()) if config.exists() else None
        if not model.built and shapes:
            model.build_from_config(shapes)
            # A model that was subclassed has its variables now, and says so only after a call.
            model.built = model.built or bool(model.weights)
        if not model.built and self.sample is not None:
            model(self.sample)
        model.load_weights(weights)
        return model

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        del step
        model.save_weights(self._get_checkpoint_fname(trial_id))

    def _get_checkpoint_fname(self, trial_id: str) -> str:
        return str(Path(self.get_trial_dir(trial_id), WEIGHTS))
