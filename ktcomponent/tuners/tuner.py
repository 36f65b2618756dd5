"""`Tuner`: builds, trains, saves and loads Keras models."""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ktcomponent.console import say
from ktcomponent.errors import ConfigurationError, FailedTrialError, FatalTypeError, FatalValueError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles.arguments import count, optional_count
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.study.settings import DEFAULTS, period
from ktcomponent.trial import Trial
from ktcomponent.tuners import results as results_module
from ktcomponent.tuners import tensorboard
from ktcomponent.tuners.base_tuner import BaseTuner
from ktcomponent.tuners.hypermodel import HyperModel
from ktcomponent.tuners.keras_support import (
    build_optimizer,
    clear_session,
    maybe_distribute,
    model_size,
    optimizer_layout,
    override_compile,
    require_tensorflow,
)

if TYPE_CHECKING:
    from ktcomponent.tuners.resume import Resumption

WEIGHTS = "checkpoint.weights.h5"
BUILD_CONFIG = "build_config.json"
OPTIMIZER = "optimizer.json"


class Tuner(BaseTuner):
    """Tunes Keras models; with `run_trial` overridden, anything.

    Args:
        oracle: See `BaseTuner`.
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns a compiled model; None only where
            `run_trial` is overridden.
        max_model_size: The most trainable scalars a model may have; a larger one is a failed trial.
        optimizer, loss, metrics: Replace those with which the hypermodel compiles. Each model gets its own
            copy of an optimizer and of metrics.
        distribution_strategy: A `tf.distribute.Strategy`, under whose scope models are built, compiled, trained
            and loaded. In a multi-worker job all workers have the same `tuner_id`: the chief's trial is
            run by all of them, and the chief alone reports.
        directory, project_name, logger, tuner_id, overwrite: See `BaseTuner`.
        executions_per_trial: How often each trial is trained from scratch; results are averaged.

    Attributes:
        sample: One batch of inputs, for models that can only be built by calling them; see `load_model`.

    Raises:
        ConfigurationError: If an argument can't be used.

    Example:

        def build(hp):
            model = keras.Sequential([keras.layers.Dense(hp.Int("units", 8, 64)), keras.layers.Dense(1)])
            model.compile("adam", "mse")
            return model

        tuner = Tuner(RandomSearchOracle("val_loss", max_trials=5), build, directory="tuning")
        tuner.search(x, y, validation_data=(x_val, y_val), epochs=3)
        model = tuner.get_best_models()[0]
    """

    def __init__(
        self,
        oracle: Oracle,
        hypermodel: Any = None,
        max_model_size: int | None = None,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        distribution_strategy: Any = None,
        directory: str | os.PathLike[str] | None = None,
        project_name: str | None = None,
        logger: Any = None,
        tuner_id: str | None = None,
        overwrite: bool = False,
        executions_per_trial: int = 1,
        **kwargs: Any,
    ) -> None:
        if hypermodel is None and type(self).run_trial is Tuner.run_trial:
            raise ConfigurationError(
                "Received `hypermodel=None`. Give a hypermodel, or override `Tuner.run_trial()`."
            )
        self.max_model_size = optional_count("max_model_size", max_model_size)
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = metrics
        self.distribution_strategy = distribution_strategy
        self.executions_per_trial = count("executions_per_trial", executions_per_trial)
        self.sample: Any = None
        self._resumed: tuple[int, str, int] | None = None
        self._has_checkpoints = False
        if distribution_strategy is not None:
            require_tensorflow("A `distribution_strategy`")
            workers = distribution_strategy.extended
            oracle.multi_worker = bool(getattr(workers, "_in_multi_worker_mode", lambda: False)())
            oracle.should_report = not oracle.multi_worker or workers.should_checkpoint
        super().__init__(
            oracle=oracle,
            hypermodel=hypermodel,
            directory=directory,
            project_name=project_name,
            logger=logger,
            tuner_id=tuner_id,
            overwrite=overwrite,
            **kwargs,
        )

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
        from ktcomponent.tuners.callback_states import CannotResume

        resumption = self._resumption_of(trial)
        try:
            try:
                return self._run_executions(trial, resumption, *args, **kwargs)
            except CannotResume as reason:
                if resumption is None:
                    raise
                resumption.forget(str(reason))
                self._forget_files(trial.trial_id)
                return self._run_executions(trial, resumption, *args, **kwargs)
        finally:
            if resumption is not None:
                resumption.close()
                self._has_checkpoints = resumption.has_checkpoints

    def _run_executions(
        self, trial: Trial, resumption: Resumption | None, *args: Any, **kwargs: Any
    ) -> list[Any]:
        """Trains as often as asked for, beginning with what a checkpoint doesn't have yet."""
        from ktcomponent.tuners.keras_callbacks import SaveBestEpoch, StopEarly, TunerCallback

        weights = Path(self._get_checkpoint_fname(trial.trial_id))
        best = SaveBestEpoch(self.oracle.objective, weights)
        given = kwargs.pop("callbacks", None) or []
        users = list(given) if isinstance(given, (list, tuple)) else [given]
        results: list[Any] = []
        if resumption is not None:
            resumption.begin(weights, best)
            results += resumption.results
        for execution in range(len(results), self.executions_per_trial):
            own = self._deepcopy_callbacks(users)
            self._configure_tensorboard_dir(own, trial, execution)
            callbacks = [*own, TunerCallback(self, trial), best]
            if self.oracle.stopping is not None and execution == 0:
                callbacks.append(StopEarly(self, trial, best))
            if resumption is not None:
                callbacks.append(resumption.callback(own, best))
            results.append(self._build_and_fit_model(trial, *args, **{**kwargs, "callbacks": callbacks}))
            if resumption is not None:
                resumption.ended(results[-1])
            if self.oracle.get_trial(trial.trial_id).stopped is not None:
                break
        return results

    def _resumption_of(self, trial: Trial) -> Resumption | None:
        """The checkpoints of the attempt that begins; None where they are switched off or can't be had."""
        state = self._ledger.study.state
        lease = state.leases.get(trial.trial_id)
        every = state.config.get("checkpoint_every", DEFAULTS["checkpoint_every"])
        if lease is None or lease["state"] != "running" or period(every) == (None, None):
            return None
        attempt = (state.generation, trial.trial_id, lease["attempt"])
        # A subclass may train several times in one trial, of which the first goes on.
        if self.oracle.multi_worker or self._resumed == attempt:
            return None
        self._resumed = attempt
        own_fit = self.hypermodel is not None and type(self.hypermodel).fit is not HyperModel.fit
        if own_fit and not getattr(self.hypermodel, "resumable", False):
            if lease["attempt"] > lease["first"]:
                say(
                    f"Trial {trial.trial_id} begins anew: {type(self.hypermodel).__name__}.fit() is not known to be "
                    "resumable. If it calls model.fit() once, with all callbacks it is given, set resumable = True."
                )
            return None
        from ktcomponent.study.checkpoints import Place
        from ktcomponent.tuners.resume import Resumption

        place = Place(state.generation, trial.trial_id, lease["attempt"], lease["first"])
        return Resumption(self._host.storage, place, every, self._ledger, self.project_dir)

    def on_trial_end(self, trial: Trial) -> None:
        super().on_trial_end(trial)
        if self._has_checkpoints:
            from ktcomponent.study.checkpoints import Place, remove_all

            self._has_checkpoints = False
            generation = self._ledger.study.state.generation
            remove_all(self._host.storage, Place(generation, trial.trial_id, 0))

    def check_model_size(self, model: Any) -> None:
        """Refuses a model that is too large; called again when a fit has built what `build` did not.

        Raises:
            FailedTrialError: If it has more than `max_model_size` trainable scalars.
        """
        size = model_size(model)
        if self.max_model_size is not None and size > self.max_model_size:
            raise FailedTrialError(
                f"Oversized model: {size} parameters, and max_model_size is {self.max_model_size}."
            )

    def _build_and_fit_model(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Builds and trains once; for packages that prepare data or layers first."""
        hp = trial.hyperparameters
        model = self._try_build(hp)
        with maybe_distribute(self.distribution_strategy):
            results = self._required_hypermodel().fit(hp, model, *args, **self._quietly(kwargs))
        config = Path(self._get_build_config_fname(trial.trial_id))
        config.write_text(json.dumps(model.get_build_config()))
        config.with_name(OPTIMIZER).write_text(json.dumps(optimizer_layout(model)))
        results_module.validate(results, self.oracle.objective, "HyperModel.fit()")
        return results

    def _try_build(self, hp: HyperParameters) -> Any:
        """A model, checked."""
        import keras

        clear_session()
        if self._is_quiet():
            # Keras's bars are made of control characters, and a cleared session shows them again.
            keras.config.disable_interactive_logging()
        model = self._build_hypermodel(hp)
        if not isinstance(model, keras.Model):
            raise FatalTypeError(
                "Expected the model-building function, or HyperModel.build(), to return a Keras model. "
                f"Received: {model!r} of type {type(model).__name__}."
            )
        self.check_model_size(model)
        return model

    def _build_hypermodel(self, hp: HyperParameters) -> Any:
        """A model, compiled as the tuner's arguments say."""
        with maybe_distribute(self.distribution_strategy):
            model = self._required_hypermodel().build(hp)
            if hasattr(model, "compile"):
                self._override_compile_args(model)
            return model

    def _override_compile_args(self, model: Any) -> None:
        """Compiles a model again with the tuner's own optimizer, loss and metrics, where it has some."""
        override_compile(model, self.optimizer, self.loss, self.metrics)

    def _configure_tensorboard_dir(self, callbacks: list[Any], trial: Trial, execution: int = 0) -> None:
        """Gives TensorBoard callbacks a folder for this execution, and the trial's hyperparameters."""
        tensorboard.configure(
            callbacks,
            trial,
            lambda log_dir: self._get_tensorboard_dir(log_dir, trial.trial_id, execution),
        )

    def _get_tensorboard_dir(self, logdir: Any, trial_id: str, execution: int) -> str:
        return f"{str(logdir).rstrip('/')}/{trial_id}/execution{execution}"

    def _required_hypermodel(self) -> HyperModel:
        if self.hypermodel is None:
            raise ConfigurationError("There is no hypermodel to build.")
        return self.hypermodel

    def _deepcopy_callbacks(self, callbacks: list[Any]) -> list[Any]:
        try:
            return copy.deepcopy(callbacks)
        except Exception as error:
            raise FatalValueError(
                "All callbacks used during a search should be deep-copyable, since every execution gets its own. "
                f"Received: {callbacks!r} ({error})."
            ) from error

    def _is_quiet(self) -> bool:
        return self._is_step and not sys.stdout.isatty()

    def _quietly(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of `fit` with which it writes no bars into a task's log."""
        if not self._is_quiet():
            return kwargs
        if "verbose" in kwargs:
            return {**kwargs, "verbose": 2 if kwargs["verbose"] in (1, "auto") else kwargs["verbose"]}
        if self.hypermodel is not None and type(self.hypermodel).fit is HyperModel.fit:
            # A user's own `fit` may not take it, or pass one itself.
            return {**kwargs, "verbose": 0}
        return kwargs

    # -- models ------------------------------------------------------------------------------------------

    def load_model(self, trial: Trial) -> Any:
        """Builds the trial's model and gives it the weights of its best epoch.

        Raises:
            FatalValueError: If the trial saved no weights.
        """
        model = self._try_build(trial.hyperparameters)
        self._load_weights(model, trial)
        return model

    def _load_weights(self, model: Any, trial: Trial) -> None:
        """Gives a model the weights of a trial's best epoch."""
        weights = Path(self._get_checkpoint_fname(trial.trial_id))
        if not weights.exists():
            raise FatalValueError(f"Trial {trial.trial_id} ({trial.status}) has no saved weights to load.")
        with maybe_distribute(self.distribution_strategy):
            config = Path(self._get_build_config_fname(trial.trial_id))
            shapes = json.loads(config.read_text()) if config.exists() else None
            if not model.built and shapes:
                model.build_from_config(shapes)
                # A model that was subclassed has its variables now, and says so only after a call.
                model.built = model.built or bool(model.weights)
            if not model.built and self.sample is not None:
                model(self.sample)
            kept = config.with_name(OPTIMIZER)
            if kept.exists():
                # The optimizer's state is in the file too; it is wanted only by an optimizer of the same kind.
                build_optimizer(model, json.loads(kept.read_text()))
            model.load_weights(weights)

    def export_model(
        self, trial: Trial, folder: Path, name: str, saved_model: bool = False
    ) -> dict[str, str] | None:
        """See `BaseTuner.export_model`; without one, where a trial saved no weights."""
        is_own = type(self).load_model.__module__.startswith("ktcomponent.")
        if is_own and not Path(self._get_checkpoint_fname(trial.trial_id)).exists():
            return None
        return super().export_model(trial, folder, name, saved_model)

    def retrain(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """A model trained anew with a trial's hyperparameters, for as many epochs as its best one took.

        Args:
            trial: A completed trial.
            args: Passed on to `HyperModel.fit`, with all the data there is, say.
            kwargs: The same; `epochs` is set.
        """
        model = self._try_build(trial.hyperparameters.copy())
        kwargs = self._quietly({**kwargs, "epochs": (trial.best_step or 0) + 1})
        with maybe_distribute(self.distribution_strategy):
            self._required_hypermodel().fit(trial.hyperparameters, model, *args, **kwargs)
        return model

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        del step
        model.save_weights(self._get_checkpoint_fname(trial_id))

    def _get_checkpoint_fname(self, trial_id: str) -> str:
        return str(Path(self.get_trial_dir(trial_id), WEIGHTS))

    def _get_build_config_fname(self, trial_id: str) -> str:
        return str(Path(self.get_trial_dir(trial_id), BUILD_CONFIG))


def refuse_oracle(cls: type[Tuner], kwargs: dict[str, Any]) -> None:
    """Refuses an oracle for a tuner that makes its own.

    Raises:
        ConfigurationError: If `kwargs` has one.
    """
    if "oracle" in kwargs:
        raise ConfigurationError(
            f"{cls.__name__} makes its own oracle. Name a function that makes the tuner, or use `Tuner`."
        )
