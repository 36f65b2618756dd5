"""`BaseTuner`: takes trials from an oracle, runs them and gives their results back."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import traceback
import warnings
import weakref
from collections.abc import Container
from pathlib import Path
from typing import Any

from ktcomponent import errors
from ktcomponent.console import say
from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.storage import open_storage
from ktcomponent.study import StudyLedger, Writer, artifacts, incarnations, layout
from ktcomponent.study.binding import bind, check_domains
from ktcomponent.study.expiry import pause_s
from ktcomponent.study.follower import FollowerLedger, wait_for_study
from ktcomponent.study.settings import checked
from ktcomponent.study.watch import Watch
from ktcomponent.trial import Trial, TrialStatus
from ktcomponent.tuners import results as results_module
from ktcomponent.tuners.exploring import explore
from ktcomponent.tuners.host import Host, Limits, current_host
from ktcomponent.tuners.hypermodel import get_hypermodel
from ktcomponent.tuners.keras_support import write_model
from ktcomponent.tuners.progress import Progress
from ktcomponent.tuners.summaries import show_results, show_space

HISTORY = "history.json"


class BaseTuner:
    """Runs the trials of a search whose state is a study on storage.

    Args:
        oracle: Proposes values.
        hypermodel: A `HyperModel`, a function, or None where `run_trial` is overridden and needs none.
        directory: A path or any fsspec URL; the study lies in its folder `project_name`.
        project_name: "untitled_project" by default.
        overwrite: Whether to begin the search anew; by default it goes on where it was.
        logger: Not used; for programs written for KerasTuner.
        tuner_id: Who asks the oracle for trials; `KERASTUNER_TUNER_ID` by default, else "tuner0". What
            `get_state` gives is kept under it.
        storage_options: The fsspec file system's arguments, and `single_writer`; see `open_storage`. Credentials
            belong into the environment or into fsspec's configuration files.
        lease_s: After so many seconds without a sign of life of this worker others take its trial; 60 by default.
        keep_checkpoints: Of how many of the best trials the checkpoints stay; "all" by default.
        checkpoint_every: After so many epochs, or seconds ("30s", the default), a training can be resumed on
            another machine; 0 switches that off. With `lease_s` and `keep_checkpoints` it is a setting of the study.

    Raises:
        ConfigurationError: If an argument can't be used.
        StudyMismatch: If the study at that place is of another search.
    """

    def __init__(
        self,
        oracle: Oracle,
        hypermodel: Any = None,
        directory: str | os.PathLike[str] | None = None,
        project_name: str | None = None,
        overwrite: bool = False,
        logger: Any = None,
        tuner_id: str | None = None,
        *,
        storage_options: dict[str, Any] | None = None,
        lease_s: float | None = None,
        keep_checkpoints: int | str | None = None,
        checkpoint_every: int | str | None = None,
    ) -> None:
        if not isinstance(oracle, Oracle):
            raise ConfigurationError(
                f"Expected `oracle` to be an instance of `Oracle`, got {oracle!r} of type {type(oracle).__name__}."
            )
        if logger is not None:
            warnings.warn("The `logger` argument is not used.", DeprecationWarning, stacklevel=2)
        self.logger = logger
        self.oracle = oracle
        self.hypermodel = get_hypermodel(hypermodel)
        self.directory = os.fspath(directory or ".")
        self.project_name = project_name or "untitled_project"
        oracle.directory, oracle.project_name = self.directory, self.project_name
        self.tuner_id = tuner_id or os.environ.get("KERASTUNER_TUNER_ID") or "tuner0"
        self.finished_trials = 0
        self._host = current_host() or self._own_host(storage_options or {})
        settings = {
            "lease_s": lease_s,
            "keep_checkpoints": keep_checkpoints,
            "checkpoint_every": checkpoint_every,
        }
        self._is_step = current_host() is not None
        self._watch: Watch | None = None
        if self._is_step and overwrite:
            warnings.warn("`overwrite=True` is for notebooks; a step goes on with the study.", stacklevel=2)
            overwrite = False
        if self._is_step and self._host.writes:
            self._host.storage.check_shared()
        if not oracle.should_report:
            # Of the workers that train one model together the chief alone creates, resets and changes the study.
            overwrite = False
            wait_for_study(self._host.storage)
        self._ledger: StudyLedger = bind(
            oracle,
            self._host.storage,
            self._host.writer,
            overwrite=overwrite,
            study_wins=self._host.study_wins,
            is_open=self._is_step,
            writes=self._host.writes and oracle.should_report,
            settings={**settings, **checked(self._host.settings)},
            discover=self._discover,
            study=self._host.study,
            is_new=self._host.is_new,
        )
        self._host.study = self._ledger.study
        if not oracle.should_report:
            self._ledger = FollowerLedger(self._ledger)
            oracle.bind(self._ledger)
        self._ledger.folder_of = self._folder_of
        self._ledger.small_files = frozenset({HISTORY})
        _warn_of_chief()
        kept = self._ledger.tuner_state(self.tuner_id)
        if kept is not None:
            self.set_state(kept)
        if not self._is_step and self.oracle.trials:
            say(
                f"Going on with the study {self._ledger.study.url}: {len(self.oracle.end_order)} trials ended."
            )

    # -- to override -------------------------------------------------------------------------------------

    def run_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> Any:
        """Evaluates one set of values.

        Args:
            trial: Its values are `trial.hyperparameters`.
            fit_args, fit_kwargs: What was passed to `search`.

        Returns:
            A Keras `History`, a dict of metrics with the objective, a float, or a list of those.
        """
        raise NotImplementedError

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        """Saves a model of a trial into `get_trial_dir(trial_id)`."""
        raise NotImplementedError

    def load_model(self, trial: Trial) -> Any:
        """Loads the model of a trial that ended."""
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        """What the study keeps of this tuner beside its oracle, as JSON; nothing by default.

        It goes with the end of each trial, under `tuner_id`: tuners that share an id share it too.
        """
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over what `get_state` gave to a tuner of this `tuner_id`, when a search goes on."""

    def export_model(
        self, trial: Trial, folder: Path, name: str, saved_model: bool = False
    ) -> dict[str, str] | None:
        """Writes the model of a trial for publishing.

        Args:
            trial: A completed trial.
            folder: Where to.
            name: The file's name, without an extension.
            saved_model: Whether to write a TensorFlow SavedModel too.

        Returns:
            The names of what was written in the folder, `{"file": ...}`; None where the trial has no model, or
            `load_model` is overridden and gives none of Keras.
        """
        if type(self).load_model is BaseTuner.load_model:
            return None
        model = self.load_model(trial)
        keras = sys.modules.get("keras")
        if keras is None or not isinstance(model, keras.Model):
            return None
        return write_model(model, folder, name, saved_model)

    def pre_create_trial(self) -> None:
        """Called before a trial is asked for."""

    def on_trial_begin(self, trial: Trial) -> None:
        """Called before a trial runs."""

    def on_trial_end(self, trial: Trial) -> None:
        """Called when a trial's run ended; this is what tells the oracle."""
        self.oracle.end_trial(trial)
        self.save()

    def on_search_begin(self) -> None:
        """Called at the beginning of `search`."""

    def on_search_end(self) -> None:
        """Called at the end of `search`."""

    def _populate_initial_space(self) -> None:
        """Declares hyperparameters in the oracle before the first trial."""
        if self.hypermodel is None:
            return
        hp = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(hp)
        self.oracle.update_space(hp)
        self._activate_all_conditions()

    # -- the search --------------------------------------------------------------------------------------

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Runs trials until the oracle has no more.

        Inside a step it ends with the batch. A `KeyboardInterrupt` gives the running trial back.

        Args:
            fit_args, fit_kwargs: Passed to `run_trial`: data, epochs, callbacks, ...

        Raises:
            FatalError: Raised inside a trial: the trial is given back and the search can go on later.
            TooManyFailedTrials: If too many trials failed in a row.
        """
        if "verbose" in fit_kwargs:
            self.oracle.verbose = fit_kwargs["verbose"]
        self._ledger.along.keep_of_tuner(self.tuner_id, self.get_state)
        if not self._is_step:
            self.go_on_after_failures()
        progress = Progress(self.oracle) if self._is_step or self.oracle.verbose not in (0, "0") else None
        if progress is not None:
            self._ledger.on_vanished = progress.trial_ended
        if not self._is_step:
            self._watch = Watch(self._host.storage, lambda: self._ledger.writer).start()
        self.on_search_begin()
        is_over = False
        try:
            while (trial := self._next_trial()) is not None:
                if progress is not None:
                    progress.trial_begins(trial)
                # What an earlier attempt left here is not this one's.
                self._forget_files(trial.trial_id)
                self.on_trial_begin(trial)
                try:
                    try:
                        self._try_run_and_update_trial(trial, *fit_args, **fit_kwargs)
                    finally:
                        self._end_run(trial, progress)
                except errors.AttemptLost as error:
                    say(f"Trial {trial.trial_id} was lost, and the search goes on. {error}")
                    self._forget_attempt(trial)
            is_over = True
        finally:
            if self._watch is not None:
                self._watch.stop()
                self._watch = None
            if not self._is_step:
                self._ledger.close("the search was left", broken_off=not is_over)
        self.on_search_end()

    def go_on_after_failures(self) -> None:
        """Reopens a search that ended because too many trials in a row failed, once what failed was mended."""
        self._ledger.go_on_after_failures()

    def check_still_mine(self) -> None:
        """Raises `Fenced` where another worker has taken over what this one runs."""
        if self._watch is not None:
            self._watch.check()

    def _end_run(self, trial: Trial, progress: Progress | None) -> None:
        """Ends a run that has a status; one that was broken off is left to be given back."""
        if trial.status == TrialStatus.RUNNING:
            return
        too_many: errors.TooManyFailedTrials | None = None
        try:
            self.on_trial_end(trial)
        except errors.TooManyFailedTrials as error:
            too_many = error  # its end is committed all the same
        self.finished_trials += 1
        if progress is not None:
            progress.trial_ended(trial)
        self._forget_files(trial.trial_id)
        if too_many is not None:
            raise too_many

    def _forget_attempt(self, trial: Trial) -> None:
        self._forget_files(trial.trial_id)
        self._ledger.forget(trial.trial_id)
        if self._watch is not None:
            self._watch.go_on()

    def _next_trial(self) -> Trial | None:
        """Claims a trial, waiting while only others have something to do; None when there is no more here."""
        limits = self._host.limits
        waited = 0.0
        while True:
            if limits.trials is not None and self.finished_trials >= limits.trials:
                return None
            if limits.runtime_is_over():
                return None
            if limits.deadline_has_passed():
                self._ledger.stop("the deadline passed")
            self.pre_create_trial()
            trial = self.oracle.create_trial(self.tuner_id)
            if trial.status == TrialStatus.RUNNING:
                return trial
            running = self._ledger.study.state.running()
            if trial.status == TrialStatus.STOPPED and (not running or not self._is_step):
                return None
            if limits.max_wait_s is not None and waited >= limits.max_wait_s:
                return None
            clock = self._host.storage.clock
            began = clock.monotonic()
            if not self._ledger.watch_others():
                clock.sleep(pause_s(waited, self._ledger.study.state))
            waited += clock.monotonic() - began

    def _run_and_update_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> None:
        results = self.run_trial(trial, *fit_args, **fit_kwargs)
        if self.oracle.get_trial(trial.trial_id).metrics.exists(self.oracle.objective.name):
            # The metrics were reported with `update_trial` inside `run_trial`: nothing is left to do.
            return
        results_module.validate(results, self.oracle.objective, f"{type(self).__name__}.run_trial()")
        self._write_histories(trial, results)
        with self.oracle.unjudged():
            self.oracle.update_trial(
                trial.trial_id,
                results_module.to_metrics(results, self.oracle.objective),
                step=results_module.best_step(results, self.oracle.objective),
            )

    def _try_run_and_update_trial(self, trial: Trial, *fit_args: Any, **fit_kwargs: Any) -> None:
        try:
            self._run_and_update_trial(trial, *fit_args, **fit_kwargs)
        except (
            errors.FatalError,
            errors.StorageError,
            errors.StudyError,
            errors.Refused,
            ConfigurationError,
        ):
            raise
        except errors.FailedTrialError:
            trial.status = TrialStatus.FAILED
            trial.message = traceback.format_exc()
        except (Exception, SystemExit):  # noqa: BLE001 - whatever user code raises fails its trial, and the search goes on
            trial.status = TrialStatus.INVALID
            trial.message = traceback.format_exc()
        else:
            trial.status, trial.message = TrialStatus.COMPLETED, None

    # -- results -----------------------------------------------------------------------------------------

    @property
    def remaining_trials(self) -> int | None:
        """How many trials are left until `max_trials`; None without that limit."""
        return self.oracle.remaining_trials()

    def get_best_models(self, num_models: int = 1) -> list[Any]:
        """The models of the best trials, best first."""
        return [self.load_model(trial) for trial in self.oracle.get_best_trials(num_models)]

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[HyperParameters]:
        """The values of the best trials, best first."""
        return [trial.hyperparameters for trial in self.oracle.get_best_trials(num_trials)]

    def search_space_summary(self, extended: bool = False) -> None:
        """Prints the search space.

        Args:
            extended: Whether to print default and conditions too.
        """
        show_space(self.oracle.get_space().space, extended)

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints the best trials.

        Args:
            num_trials: How many at most.
        """
        show_results(self.oracle, self._ledger.study.url, num_trials)

    # -- files -------------------------------------------------------------------------------------------

    @property
    def project_dir(self) -> str:
        """A local folder for this tuner's files; the study itself is on storage."""
        self._host.scratch.mkdir(mode=0o700, exist_ok=True)
        return str(self._host.scratch)

    def get_trial_dir(self, trial_id: str) -> str:
        """The local folder of a trial.

        It is uploaded when the trial ends; of a trial that has ended it is fetched again, verified.
        """
        folder = Path(self.project_dir, f"trial_{layout.safe(trial_id)}")
        if not folder.exists() or not any(folder.iterdir()):
            state = self._ledger.study.state
            lease = state.leases.get(trial_id, {})
            if lease.get("state") == "ended":
                artifacts.download(self._host.storage, state.generation, trial_id, lease, folder)
        folder.mkdir(exist_ok=True)
        return str(folder)

    def save(self) -> None:
        """Keeps what `get_state` gives, if it has changed; an oracle's decisions are kept as they are made."""
        self._ledger.along.keep_of_tuner(self.tuner_id, self.get_state)
        self._ledger.flush()

    def reload(self) -> None:
        """Brings the tuner to the head of the study."""
        self.oracle.reload()
        kept = self._ledger.tuner_state(self.tuner_id)
        if kept is not None:
            self.set_state(kept)

    def _folder_of(self, trial_id: str) -> Path | None:
        folder = Path(self._host.scratch, f"trial_{layout.safe(trial_id)}")
        return folder if folder.is_dir() else None

    def _forget_files(self, trial_id: str) -> None:
        folder = self._folder_of(trial_id)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _write_histories(self, trial: Trial, results: Any) -> None:
        found = results_module.histories(results)
        if found:
            Path(self.get_trial_dir(trial.trial_id), HISTORY).write_text(json.dumps({"executions": found}))

    # -- the search space --------------------------------------------------------------------------------

    def _discover(self, config: dict[str, Any]) -> None:
        """Declares what can be known of the search space without running a trial."""
        del config
        try:
            self._populate_initial_space()
        except errors.KtcomponentError:
            raise
        except Exception as error:
            if not self._is_step:
                raise
            raise ConfigurationError(
                f"The model can't be built with default values: {type(error).__name__}: {error}"
            ) from error

    def _activate_all_conditions(self) -> None:
        """Builds the hypermodel until every conditional scope was active once."""
        if self.hypermodel is None:
            return
        space = self.oracle.get_space()
        explore(self.hypermodel, space, self._check_domains)
        self.oracle.update_space(space)

    def _check_domains(self, hp: HyperParameters, known: Container[Any] = ()) -> None:
        """Refuses a program that asks for other domains than the study has, but for those overridden on purpose.

        Args:
            hp: What the program was given.
            known: (name, conditions) that need no check.
        """
        overridden = self.oracle.overridden
        pairs = [
            (old, asked)
            for old, asked in hp.redeclared
            if old.name not in overridden and (old.name, tuple(old.conditions)) not in known
        ]
        check_domains(pairs, f"The study {self._host.storage.url}")

    def _own_host(self, storage_options: dict[str, Any]) -> Host:
        slash = "" if self.directory.endswith("/") else "/"
        storage = open_storage(f"{self.directory}{slash}{self.project_name}", **storage_options)
        scratch = Path(tempfile.mkdtemp(prefix="ktcomponent-"))
        weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        writer = Writer(incarnations.new_owner(), incarnations.new_incarnation())
        return Host(storage, writer, scratch, Limits(), study_wins=False)


_chief_is_known = False


def _warn_of_chief() -> None:
    """Says once that the addresses of KerasTuner's distributed mode are not needed."""
    global _chief_is_known
    if os.environ.get("KERASTUNER_ORACLE_IP") and not _chief_is_known:
        _chief_is_known = True
        warnings.warn(
            "KERASTUNER_ORACLE_IP is set, but the study on storage needs no chief: this process and all others that "
            "share the study's directory are workers.",
            stacklevel=4,
        )
