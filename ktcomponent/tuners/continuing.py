"""`ContinuingTuner`: for oracles whose trials go on with the model of an earlier trial, as Hyperband's do."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from ktcomponent.console import say
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.trial import Trial
from ktcomponent.tuners.tuner import Tuner

EARLIER_TRIAL = "tuner/trial_id"


class ContinuingTuner(Tuner):
    """Follows "tuner/epochs", "tuner/initial_epoch" and "tuner/trial_id" where a trial has them.

    See `MultiFidelityOracle` for what they mean; with other oracles this is a `Tuner`. Where the earlier model is gone, which
    can be when a limit is raised after the search was over, the training begins anew.
    """

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:
        """Trains from the trial's initial epoch to its last; the `epochs` given to `search` don't count then."""
        values = trial.hyperparameters.values
        if "tuner/epochs" in values:
            kwargs["epochs"] = values["tuner/epochs"]
            kwargs["initial_epoch"] = values["tuner/initial_epoch"]
            earlier = values.get(EARLIER_TRIAL)
            if earlier is not None and not self._has_weights(earlier):
                say(f"The model of trial {earlier} isn't there any more: trial {trial.trial_id} begins anew.")
                kwargs["initial_epoch"] = 0
        return super().run_trial(trial, *args, **kwargs)

    def _build_hypermodel(self, hp: HyperParameters) -> Any:
        model = super()._build_hypermodel(hp)
        earlier = hp.values.get(EARLIER_TRIAL)
        if earlier is not None and self._has_weights(earlier):
            self._load_weights(model, self.oracle.get_trial(earlier))
            self._forget_files(earlier)
        return model

    def _has_weights(self, trial_id: str) -> bool:
        return Path(self._get_checkpoint_fname(trial_id)).exists()

    def load_model(self, trial: Trial) -> Any:
        # The trial's own weights, so those with which it began aren't needed.
        alone = copy.copy(trial)
        alone.hyperparameters = trial.hyperparameters.copy()
        alone.hyperparameters.values.pop(EARLIER_TRIAL, None)
        return super().load_model(alone)
