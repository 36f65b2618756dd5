"""TensorBoard: a folder for each execution of a trial, with the trial's hyperparameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import Float, HyperParameter, HyperParameters
from ktcomponent.trial import Trial
from ktcomponent.tuners.keras_support import require_tensorflow


def configure(callbacks: list[Any], trial: Trial, folder_of: Callable[[Any], str]) -> None:
    """Gives each TensorBoard callback a folder of its own, where the HParams go too.

    Args:
        callbacks: The callbacks of one execution; changed in place.
        trial: The trial.
        folder_of: Makes that folder's name of a callback's `log_dir`.
    """
    boards = [callback for callback in callbacks if type(callback).__name__ == "TensorBoard"]
    if not boards:
        return
    require_tensorflow("A TensorBoard callback")
    try:
        from tensorboard.plugins.hparams import api
    except ImportError as error:
        raise ConfigurationError(
            f"A TensorBoard callback needs {error.name}: pip install 'ktcomponent[tensorboard]'."
        ) from error

    for board in boards:
        board.log_dir = folder_of(board.log_dir)
        hparams = _hparams(trial.hyperparameters, api)
        callbacks.append(api.KerasCallback(writer=board.log_dir, hparams=hparams, trial_id=trial.trial_id))


MOST_VALUES = 1000
"""A domain of more values is shown as an interval."""


def _hparams(hyperparameters: HyperParameters, api: Any) -> dict[Any, Any]:
    values = hyperparameters.values
    active = {
        hp.name: hp for hp in hyperparameters.space if hyperparameters.is_active(hp) and hp.name in values
    }
    return {api.HParam(name, _domain(hp, api)): values[name] for name, hp in active.items()}


def _domain(hp: HyperParameter, api: Any) -> Any:
    legal = hp.legal_values
    if isinstance(legal, range) and (legal.step == 1 or len(legal) > MOST_VALUES):
        return api.IntInterval(legal.start, legal.stop - 1)
    if isinstance(hp, Float) and (legal is None or len(legal) > MOST_VALUES):
        return api.RealInterval(hp.min_value, hp.max_value)
    return api.Discrete(list(legal or ()))
